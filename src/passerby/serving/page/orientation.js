// SPDX-License-Identifier: Apache-2.0
// WebP files may say how they are to be turned. The service listens to that, Chromium does not; so it is done here.

const TAG = 0x0112;
const text = (view, at, length) => String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at, length));

/** The orientation a WebP file names in its Exif block, 1 to 8; 1 where there is none, and for other kinds of files. */
export async function orientationOf(file) {
  const head = new DataView(await file.slice(0, 12).arrayBuffer());
  if (head.byteLength < 12 || text(head, 0, 4) !== "RIFF" || text(head, 8, 4) !== "WEBP") return 1;
  for (let at = 12; at + 8 <= file.size;) {
    const chunk = new DataView(await file.slice(at, at + 8).arrayBuffer());
    const length = chunk.getUint32(4, true);
    if (text(chunk, 0, 4) === "EXIF")
      return tag(new DataView(await file.slice(at + 8, at + 8 + Math.min(length, 65536)).arrayBuffer()));
    at += 8 + length + (length % 2);
  }
  return 1;
}

/** The tag in the first directory of an Exif block. */
function tag(view) {
  try {
    const start = text(view, 0, 4) === "Exif" ? 6 : 0;
    const little = text(view, start, 2) === "II";
    const directory = start + view.getUint32(start + 4, little);
    for (let entry = 0; entry < view.getUint16(directory, little); entry += 1) {
      const at = directory + 2 + 12 * entry;
      if (view.getUint16(at, little) !== TAG) continue;
      const value = view.getUint16(at + 8, little);
      return value >= 1 && value <= 8 ? value : 1;
    }
  } catch {
    // numbers that lead outside the block: as if there were none
  }
  return 1;
}

// Canvas transforms [a, b, c, d, e, f] in units of the stored width and height, by orientation.
const TURNS = {
  2: (w) => [-1, 0, 0, 1, w, 0],
  3: (w, h) => [-1, 0, 0, -1, w, h],
  4: (_, h) => [1, 0, 0, -1, 0, h],
  5: () => [0, 1, 1, 0, 0, 0],
  6: (_, h) => [0, 1, -1, 0, h, 0],
  7: (w, h) => [0, -1, -1, 0, h, w],
  8: (w) => [0, -1, 1, 0, 0, w],
};

/** A copy of a bitmap, turned upright; the bitmap itself is closed. */
export async function upright(bitmap, orientation) {
  const { width, height } = bitmap;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = orientation > 4 ? [height, width] : [width, height];
  const context = canvas.getContext("2d");
  context.setTransform(...TURNS[orientation](width, height));
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return createImageBitmap(canvas);
}
