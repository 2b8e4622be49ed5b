/** A box per person, dragged or moved by keys over a picture; written as JSON in parts of it. */

import { backdrop, button, el, replace } from './dom.js'
import { tint } from './palette.js'
import { columns } from './people_edit.js'
import { ARROWS, createDrag, createStage, hold, place, readList, round } from './stage.js'
import { t } from './texts.js'

/** @typedef {import('./types.js').Box} Box */

const STEP = 0.02
const SMALLEST = 0.03
/** Where edges snap while they are dragged, and from how far; with Alt they do not. */
const LINES = [0, 1 / 3, 1 / 2, 2 / 3, 1]
const NEAR = 0.015
/** Which of x, y, width, height a handle moves: 1 with the pointer, -1 against it. */
/** @type {Record<string, [number, number, number, number]>} */
const HANDLES = { nw: [1, 1, -1, -1], ne: [0, 1, 1, -1], sw: [1, 0, -1, 1], se: [0, 0, 1, 1] }

/** @param {(value: string) => void} write what was drawn, into the input `boxes` */
export function createBoxes(write) {
  const { stage, bar, root } = createStage('ensemble-boxes', t('boxes.title'))
  const drag = createDrag(stage)
  /** @type {Box[]} */
  let boxes = []
  /** @type {number | null} */
  let people = null
  /** The box of the chip that was clicked last. */
  let chosen = -1

  function paint() {
    root.hidden = !people
    stage.hidden = !boxes.length
    const start = () => save(columns(people ?? 0))
    const clear = () => save([])
    const fit = () => save([...boxes, ...columns(people ?? 0).slice(boxes.length)].slice(0, people ?? 0))
    const other = boxes.length > 0 && boxes.length !== people
    replace(bar, [
      boxes.length
        ? button({ 'data-key': 'boxes', onclick: clear }, t('boxes.clear'))
        : button({ 'data-key': 'boxes', onclick: start }, t('boxes.draw')),
      ...(other ? [button({ 'data-key': 'fit', onclick: fit }, t('boxes.fit', { number: people ?? 0 }))] : []),
      el('span', { class: 'ensemble-hint' }, boxes.length ? t('boxes.keys') : t('boxes.about')),
    ])
    replace(stage, boxes.map((box, index) => drawn(box, index)))
  }

  /** @param {Box[]} value */
  function save(value) {
    boxes = value
    paint()
    write(value.length ? JSON.stringify(value) : '')
  }

  /** @param {number} index @param {Box} box */
  const changed = (index, box) => boxes.map((each, i) => (i === index ? box : each))

  /** @param {Box} box @param {number} index */
  function drawn(box, index) {
    const element = el('div', {
      class: `ensemble-box${index === chosen ? ' ensemble-chosen' : ''}`,
      role: 'button',
      tabindex: 0,
      'data-key': `box-${index}`,
      'aria-label': t('boxes.box', { number: index + 1, where: box.slice(0, 4).map((v) => `${Math.round(v * 100)} %`).join(', ') }),
      style: { '--ensemble-tint': tint(index + 1) },
      onpointerdown: (/** @type {PointerEvent} */ event) => grab(event, element, index),
      onkeydown: (/** @type {KeyboardEvent} */ event) => key(event, index),
    }, el('b', {}, String(index + 1)), ...Object.keys(HANDLES).map((name) => el('i', { 'data-handle': name })))
    lay(element, box)
    return element
  }

  /** @param {PointerEvent} event @param {HTMLElement} element @param {number} index */
  function grab(event, element, index) {
    const handle = HANDLES[/** @type {HTMLElement} */ (event.target).dataset.handle ?? ''] ?? [1, 1, 0, 0]
    const before = boxes[index]
    chosen = index
    const move = (/** @type {number} */ dx, /** @type {number} */ dy, /** @type {PointerEvent} */ { altKey }) => {
      const to = moved(before, handle, dx, dy)
      const now = altKey ? to : snapped(to, handle)
      lay(element, now)
      return now
    }
    drag.start(event, element, before, move, (now) => save(changed(index, now)))
  }

  /** @param {KeyboardEvent} event @param {number} index */
  function key(event, index) {
    const arrow = ARROWS[event.key]
    if (!arrow) return
    event.preventDefault()
    const handle = event.shiftKey ? HANDLES.se : /** @type {Box} */ ([1, 1, 0, 0])
    save(changed(index, moved(boxes[index], handle, arrow[0] * STEP, arrow[1] * STEP)))
  }

  paint()
  return {
    root,

    /**
     * @param {number | null} count null where it is not known
     * @param {string} value of the input `boxes`
     */
    setPeople(count, value) {
      if (drag.isHeld()) return
      people = count
      boxes = readBoxes(value)
      paint()
    },

    /** @param {number} index of the box that is to be seen; -1 for none */
    choose(index) {
      chosen = index
      paint()
    },

    /**
     * @param {string} address empty for none
     * @param {string} shape of the picture to be, `width / height`; empty where it is not known
     */
    setPicture(address, shape) {
      backdrop(stage, address)
      if (!address) stage.style.aspectRatio = shape
    },
  }
}

/** @param {string} value of the input `boxes` @returns {Box[]} */
export const readBoxes = (value) => readList(value, (row) => (row.length === 4 || row.length === 5) && row.every(Number.isFinite))

/**
 * A box moved or resized by parts of the picture, kept inside it and not too small.
 * @param {Box} box
 * @param {[number, number, number, number]} handle
 * @param {number} dx
 * @param {number} dy
 * @returns {Box}
 */
export function moved([x, y, w, h, ...front], handle, dx, dy) {
  const [left, width] = along(x, w, handle[0], handle[2], dx)
  const [top, height] = along(y, h, handle[1], handle[3], dy)
  return [left, top, width, height, ...front]
}

/**
 * A box with those of its edges that are moved put onto lines that are near.
 * @param {Box} box
 * @param {[number, number, number, number]} handle
 * @returns {Box}
 */
export function snapped([x, y, w, h, ...front], handle) {
  const [left, width] = onLine(x, w, handle[0], handle[2])
  const [top, height] = onLine(y, h, handle[1], handle[3])
  return [left, top, width, height, ...front]
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

/** @param {HTMLElement} element @param {Box} box */
const lay = (element, [left, top, width, height]) => place(element, { left, top, width, height })
