/** What adding, removing and moving people makes of a node's texts and boxes. */

import { columns } from './regions.js'

/** @typedef {{ start: number, end: number }} Range */
/**
 * @typedef {object} Inputs
 * @property {string} text
 * @property {string} negative
 * @property {string} order
 * @property {any[]} boxes the rows of the input, as they stand there
 * @property {number} people how many parts are a person's; those behind are of several together
 */

const BREAK = 'BREAK'
/** The parts before the people: scene and common. */
const COMMON = 2
/** Who does something together, at the begin of their part. */
const NUMBERS = /\d+(?:\s*\+\s*\d+)+(?=\s*:)/

/** What stands between the BREAKs of a text, as the server has split it. */
/** @param {string} text @param {Range[]} parts */
export const piecesOf = (text, parts) => parts.map(({ start, end }) => text.slice(start, end))

/**
 * @param {Inputs} inputs
 * @param {string[]} pieces of the text
 * @param {string} words of the new person
 * @returns {Inputs}
 */
export function withPerson(inputs, pieces, words) {
  const before = pieces.slice(0, COMMON + inputs.people)
  const together = pieces.slice(before.length)
  if (before.length < 2) before[0] = `${before[0] ?? ''}\n`
  // The common part has its place, empty or not.
  while (before.length < 2) before.push('\n')
  const last = before.length - 1
  before[last] = `${before[last].replace(/\s+$/, '')}\n`
  const people = before.length - 1
  const places = orderOf(inputs.order)
  return {
    ...inputs,
    text: joined([...before, ` ${words}`, ...together]),
    order: places.length ? [...places.map(written), people].join(',') : inputs.order,
    boxes: inputs.boxes.length ? [...inputs.boxes, columns(people)[people - 1]] : [],
  }
}

/**
 * @param {Inputs} inputs
 * @param {string[]} pieces of the text
 * @param {string[]} negatives pieces of the negative; at most one where everybody has the same
 * @param {number} person from 1
 * @returns {Inputs}
 */
export function withoutPerson(inputs, pieces, negatives, person) {
  const numbered = (/** @type {number} */ number) => (number > person ? number - 1 : number)
  const left = without(renumbered(inputs, pieces, (number) => (number === person ? null : numbered(number))), person + 1)
  const places = orderOf(inputs.order).filter((place) => place.number !== person)
  return {
    ...inputs,
    text: joined(left).trimEnd(),
    negative: negatives.length > 1 ? joined(without(negatives, person + 1)) : inputs.negative,
    order: places.map(({ number, front }) => written({ number: numbered(number), front })).join(','),
    boxes: inputs.boxes.filter((_, index) => index !== person - 1),
  }
}

/**
 * Two people exchange their places: regions stay, words, LoRAs and negatives go.
 * @param {Inputs} inputs
 * @param {string[]} pieces of the text
 * @param {string[]} negatives pieces of the negative
 * @param {number} one from 1
 * @param {number} other from 1
 * @returns {Inputs}
 */
export function exchanged(inputs, pieces, negatives, one, other) {
  const minus = negatives.slice()
  // Who has no part of the negative has the scene's.
  while (minus.length > 1 && minus.length <= Math.max(one, other) + 1) minus.push(minus[0])
  const exchange = (/** @type {number} */ number) => (number === one ? other : number === other ? one : number)
  return {
    ...inputs,
    text: joined(swapped(renumbered(inputs, pieces, exchange), one + 1, other + 1)),
    negative: minus.length > 1 ? joined(swapped(minus, one + 1, other + 1)) : inputs.negative,
  }
}

/**
 * The pieces with other numbers of people in the parts that are of several together; one that is left with fewer
 * than two of them goes.
 * @param {Inputs} inputs
 * @param {string[]} pieces
 * @param {(number: number) => number | null} change null: that person goes
 */
function renumbered({ people }, pieces, change) {
  return pieces.flatMap((piece, index) => {
    if (index < COMMON + people) return [piece]
    const members = (piece.match(NUMBERS)?.[0] ?? '').split('+').map((number) => change(Number(number)))
    const left = members.filter((number) => number !== null)
    return left.length < 2 ? [] : [piece.replace(NUMBERS, left.join('+'))]
  })
}

/** With BREAK between them as a word of its own, and in no comment. */
/** @param {string[]} pieces */
function joined(pieces) {
  const spaced = pieces.map((piece, index) => {
    const before = index > 0 && !/^\s/.test(piece) ? ' ' : ''
    if (index === pieces.length - 1) return before + piece
    // A comment ends with its line, and BREAK stands behind it.
    if (/\/\/.*$/.test(piece)) return `${before}${piece.trimEnd()}\n`
    return before + piece + (/\s$/.test(piece) ? '' : ' ')
  })
  return spaced.join(BREAK)
}

/** @param {string[]} pieces @param {number} index */
const without = (pieces, index) => pieces.filter((_, i) => i !== index)

/**
 * The white space stays where it is.
 * @param {string[]} pieces
 * @param {number} one
 * @param {number} other
 */
function swapped(pieces, one, other) {
  const [a, b] = [pieces[one], pieces[other]].map((piece) => /** @type {string[]} */ (piece.match(/^(\s*)([^]*?)(\s*)$/)))
  const result = pieces.slice()
  result[one] = a[1] + b[2] + a[3]
  result[other] = b[1] + a[2] + b[3]
  return result
}

/** Who stands at each place, and the signs that say how far in front. */
/** @param {string} order */
const orderOf = (order) => [...order.matchAll(/(\d+)(\+*)/g)].map(([, number, front]) => ({ number: Number(number), front }))

/** @param {{ number: number, front: string }} place */
const written = ({ number, front }) => `${number}${front}`
