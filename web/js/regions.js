/** Regions as the input `boxes` holds them (ensemble/regions/drawn.py): boxes, ellipses, outlines. */

import { hold, readList, round } from './stage.js'

/** @typedef {import('./types.js').Box} Box */
/** @typedef {[number, number]} Point */
/**
 * @typedef {object} Region
 * @property {'box' | 'ellipse' | 'lasso'} kind
 * @property {Box} box around it
 * @property {number} front how far in front it is; the larger one has the place where two overlap
 * @property {Point[]} points of an outline, in parts of the box
 */

const SMALLEST = 0.03
/** Where edges snap while they are dragged, and from how far; with Alt they do not. */
const LINES = [0, 1 / 3, 1 / 2, 2 / 3, 1]
const NEAR = 0.015
/** An outline keeps no more points than these, and none nearer to the last than that. */
const MOST_POINTS = 120
const APART = 0.008

/** @param {any} value */
const isNumbers = (value) => Array.isArray(value) && value.every(Number.isFinite)

/** @param {any} row */
const isRow = (row) =>
  (isNumbers(row) && (row.length === 4 || row.length === 5)) ||
  (isNumbers(row?.ellipse) && row.ellipse.length === 4) ||
  (Array.isArray(row?.lasso) && row.lasso.length > 2 &&
    row.lasso.every((/** @type {any} */ point) => isNumbers(point) && point.length === 2))

/** The rows of the input as they stand there; none where one cannot be drawn. */
/** @param {string} value @returns {any[]} */
export const readRows = (value) => readList(value, isRow)

/** @param {string} value of the input `boxes` @returns {Region[]} */
export const readRegions = (value) => readRows(value).map(regionOf)

/** @param {any} row @returns {Region} */
function regionOf(row) {
  if (Array.isArray(row)) return { kind: 'box', box: [row[0], row[1], row[2], row[3]], front: row[4] ?? 0, points: [] }
  if (row.ellipse) return { kind: 'ellipse', box: row.ellipse, front: row.front ?? 0, points: [] }
  return outlined(row.lasso, row.front ?? 0)
}

/** @param {Region[]} regions */
export const writeRegions = (regions) => (regions.length ? JSON.stringify(regions.map(rowOf)) : '')

/** @param {Region} region */
function rowOf({ kind, box, front, points }) {
  const before = front ? { front } : {}
  if (kind === 'box') return front ? [...box, front] : box
  if (kind === 'ellipse') return { ellipse: box, ...before }
  const [x, y, w, h] = box
  return { lasso: points.map(([u, v]) => [round(hold(x + u * w, 0, 1)), round(hold(y + v * h, 0, 1))]), ...before }
}

/** @param {number} people @returns {Region[]} side by side, over the whole picture */
export const sideBySide = (people) => columns(people).map((box) => ({ kind: 'box', box, front: 0, points: [] }))

/** @param {number} people @returns {Box[]} */
export const columns = (people) =>
  Array.from({ length: people }, (_, i) => [round(i / people), 0, round(1 / people), 1])

/**
 * @param {Point[]} points in parts of the picture
 * @param {number} front
 * @returns {Region}
 */
export function outlined(points, front) {
  const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]))
  const [left, top] = [Math.min(...xs), Math.min(...ys)]
  const [w, h] = [Math.max(...xs) - left || 1e-6, Math.max(...ys) - top || 1e-6]
  return {
    kind: 'lasso',
    box: [round(left), round(top), round(w), round(h)],
    front,
    points: points.map(([x, y]) => [(x - left) / w, (y - top) / h]),
  }
}

/** The points of a drawn line that are worth keeping. */
/** @param {Point[]} points @returns {Point[]} */
export function thinned(points) {
  /** @type {Point[]} */
  const kept = []
  for (const point of points) {
    const last = kept[kept.length - 1]
    if (!last || Math.hypot(point[0] - last[0], point[1] - last[1]) >= APART) kept.push(point)
  }
  const every = Math.ceil(kept.length / MOST_POINTS)
  return kept.filter((_, index) => index % every === 0)
}

/** The region in front of all others, or back among them where it is. */
/** @param {Region[]} regions @param {number} index @returns {Region[]} */
export function raised(regions, index) {
  const others = regions.filter((_, i) => i !== index).map(({ front }) => front)
  const most = Math.max(0, ...others)
  const front = regions[index].front > most ? 0 : most + 1
  return regions.map((region, i) => (i === index ? { ...region, front } : region))
}

/**
 * A box moved or resized by parts of the picture, kept inside it and not too small.
 * @param {Box} box
 * @param {[number, number, number, number]} handle
 * @param {number} dx
 * @param {number} dy
 * @returns {Box}
 */
export function moved([x, y, w, h], handle, dx, dy) {
  const [left, width] = along(x, w, handle[0], handle[2], dx)
  const [top, height] = along(y, h, handle[1], handle[3], dy)
  return [left, top, width, height]
}

/**
 * A box with those of its edges that are moved put onto lines that are near.
 * @param {Box} box
 * @param {[number, number, number, number]} handle
 * @returns {Box}
 */
export function snapped([x, y, w, h], handle) {
  const [left, width] = onLine(x, w, handle[0], handle[2])
  const [top, height] = onLine(y, h, handle[1], handle[3])
  return [left, top, width, height]
}

/**
 * @param {number} start
 * @param {number} length
 * @param {number} moves whether the start goes along
 * @param {number} grows 0 where the length stays
 */
function onLine(start, length, moves, grows) {
  const edges = grows ? [moves ? start : start + length] : [start, start + length]
  const ways = edges.flatMap((edge) => LINES.map((line) => line - edge)).filter((way) => Math.abs(way) < NEAR)
  const [way = 0] = ways.sort((a, b) => Math.abs(a) - Math.abs(b))
  if (!grows) return [round(start + way), length]
  return moves ? [round(start + way), round(length - way)] : [start, round(length + way)]
}

/**
 * @param {number} start
 * @param {number} length
 * @param {number} moves whether the start goes along
 * @param {number} grows 1, 0 or -1: how the length goes along
 * @param {number} by
 */
function along(start, length, moves, grows, by) {
  const low = grows < 0 ? -start : grows > 0 ? SMALLEST - length : -start
  const high = grows < 0 ? length - SMALLEST : 1 - start - length
  const step = hold(by, low, high)
  return [round(start + moves * step), round(length + grows * step)]
}

