// SPDX-License-Identifier: Apache-2.0
// Files become bitmaps, thumbnails, cut-outs and, where they are too large to send, smaller files.

import { orientationOf, upright } from "./orientation.js";

const THUMB_PX = 160;
const JPEG_QUALITY = 0.92;

/** Orientation applied, as the service applies it. */
const asStored = (file) => createImageBitmap(file);
/** For browsers whose bitmaps leave the orientation out; an <img> has had it for years. */
async function asShown(file) {
  const url = URL.createObjectURL(file);
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    return await createImageBitmap(image);
  } finally {
    URL.revokeObjectURL(url);
  }
}
/** For kinds of files whose orientation the browser applies and the service does not. */
const unturned = (file) => createImageBitmap(file, { imageOrientation: "none" });

/**
 * Pixels of a file, first frame only.
 * @param {[number, number] | null} size what the service said of the picture; a way to decode that agrees with it wins
 * @returns {Promise<ImageBitmap | null>} null where this browser cannot show such a file; the caller closes it
 */
export async function decode(file, size = null) {
  const orientation = await orientationOf(file).catch(() => 1);
  if (orientation > 1)
    return unturned(file)
      .then((bitmap) => upright(bitmap, orientation))
      .catch(() => null);
  let kept = null;
  for (const way of [asStored, asShown, unturned]) {
    const bitmap = await way(file).catch(() => null);
    if (bitmap === null) continue;
    if (size === null || (bitmap.width === size[0] && bitmap.height === size[1])) {
      kept?.close();
      return bitmap;
    }
    if (kept === null) kept = bitmap;
    else bitmap.close();
  }
  return kept;
}

/** A canvas of a picture, at most `side` px on its long side. */
export function canvasOf(bitmap, side) {
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** The canvas as a file; null where the browser cannot make one that large. */
export const fileOf = (canvas, type) => new Promise((done) => canvas.toBlob(done, type, JPEG_QUALITY));

/** Address of a small copy for the strip of pictures; null where there is none. */
export async function thumbnail(bitmap) {
  const blob = await fileOf(canvasOf(bitmap, THUMB_PX), "image/jpeg");
  return blob && URL.createObjectURL(blob);
}

/**
 * A copy that the service takes: at most `pixels` large, a JPEG.
 * @returns {Promise<{blob: Blob, from: number[], to: number[]} | null>} sizes as [width, height]; null: cannot be read
 */
export async function smaller(file, pixels) {
  const bitmap = await decode(file);
  if (bitmap === null) return null;
  const from = [bitmap.width, bitmap.height];
  const side = Math.max(...from) * Math.min(1, Math.sqrt(pixels / (from[0] * from[1])));
  const canvas = canvasOf(bitmap, Math.floor(side));
  bitmap.close();
  const blob = await fileOf(canvas, "image/jpeg");
  return blob && { blob, from, to: [canvas.width, canvas.height] };
}

/** Draw a person into a small canvas, with a little of what is around. */
export function cutOut(canvas, bitmap, [x1, y1, x2, y2]) {
  const ratio = canvas.width / canvas.height;
  const height = Math.max(y2 - y1, (x2 - x1) / ratio) * 1.08;
  const width = height * ratio;
  const left = Math.max(0, Math.min((x1 + x2 - width) / 2, bitmap.width - width));
  const top = Math.max(0, Math.min((y1 + y2 - height) / 2, bitmap.height - height));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, left, top, width, height, 0, 0, canvas.width, canvas.height);
}
