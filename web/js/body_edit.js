/** What adding, turning round and completing bodies makes of the joints of a pose. */

import { hold, round } from './stage.js'

/** @typedef {import('./types.js').Body} Body */
/** @typedef {[number, number]} Point */

/** Whose place each joint takes when a body is turned round: left for right (BODY_18). */
const MIRROR = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]
/** The joint that each joint hangs on; the neck hangs on nothing. */
const PARENT = [1, -1, 1, 2, 3, 1, 5, 6, 1, 8, 9, 1, 11, 12, 0, 0, 14, 15]

/** @param {Body} body @returns {number} its middle, across */
const middleOf = (body) => {
  const xs = body.flatMap((xy) => (xy ? [xy[0]] : []))
  return (Math.min(...xs) + Math.max(...xs)) / 2
}

/**
 * The bodies with others beside them, in the widest gap across the picture.
 * @param {Body[]} bodies
 * @param {Body[]} more in the middle of the picture
 * @returns {Body[]}
 */
export function withBodies(bodies, more) {
  if (!bodies.length) return more
  const centres = bodies.map(middleOf).sort((a, b) => a - b)
  // At the picture's edge, somebody needs half the room on one side.
  const stops = [-centres[0], ...centres, 2 - centres[centres.length - 1]]
  const gaps = stops.slice(1).map((stop, i) => ({ width: stop - stops[i], middle: (stop + stops[i]) / 2 }))
  const widest = gaps.reduce((best, gap) => (gap.width > best.width + 1e-9 ? gap : best))
  const by = hold(widest.middle, 0.08, 0.92) - (Math.min(...more.map(middleOf)) + Math.max(...more.map(middleOf))) / 2
  return [...bodies, ...more.map((body) => shifted(body, by))]
}

/** @param {Body} body @param {number} by @returns {Body} */
const shifted = (body, by) => body.map((xy) => xy && [round(xy[0] + by), xy[1]])

/**
 * A body turned round: its left is where its right was.
 * @param {Body[]} bodies
 * @param {number} number
 * @returns {Body[]}
 */
export function turned(bodies, number) {
  const middle = middleOf(bodies[number])
  const body = bodies[number].map((_, joint) => bodies[number][MIRROR[joint]])
  const mirrored = body.map((xy) => xy && /** @type {Point} */ ([round(2 * middle - xy[0]), xy[1]]))
  return bodies.map((each, i) => (i === number ? mirrored : each))
}

/**
 * A body with all its joints: what is missing stands as in a whole body of the same trunk, from the
 * joint that it hangs on.
 * @param {Body[]} bodies
 * @param {number} number
 * @param {Body} whole
 * @returns {Body[]}
 */
export function completed(bodies, number, whole) {
  const body = bodies[number].slice()
  const scale = sizeOf(body) / (sizeOf(whole) || 1) || 1
  for (const joint of [1, 0, 2, 5, 8, 11, 3, 6, 9, 12, 4, 7, 10, 13, 14, 15, 16, 17]) {
    if (body[joint]) continue
    const [from, to] = anchored(body, whole, joint)
    const there = /** @type {Point} */ (whole[joint])
    body[joint] = [
      round(hold(to[0] + (there[0] - from[0]) * scale, 0, 1)), round(hold(to[1] + (there[1] - from[1]) * scale, 0, 1)),
    ]
  }
  return bodies.map((each, i) => (i === number ? body : each))
}

/**
 * A joint's place in the whole body that is known in both: its parent's, else any other's.
 * @param {Body} body @param {Body} whole @param {number} joint @returns {[Point, Point]}
 */
function anchored(body, whole, joint) {
  const parent = PARENT[joint] >= 0 && body[PARENT[joint]] ? PARENT[joint] : body.findIndex(Boolean)
  return [/** @type {Point} */ (whole[parent]), /** @type {Point} */ (body[parent])]
}

/** How large a body is: the longest way between two of its joints that a whole one has too. */
/** @param {Body} body */
function sizeOf(body) {
  const ys = body.flatMap((xy) => (xy ? [xy[1]] : []))
  return Math.max(...ys) - Math.min(...ys)
}
