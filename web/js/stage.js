/** What the editors over a picture share: a stage, what is dragged on it, and the keys that move it. */

import { el } from './dom.js'

/** @type {Record<string, [number, number]>} */
export const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }

/**
 * A picture to draw on below a bar of buttons.
 * @param {string} name of its style
 * @param {string} title
 */
export function createStage(name, title) {
  const stage = el('div', { class: 'ensemble-stage', role: 'group', 'aria-label': title })
  const bar = el('div', { class: 'ensemble-bar' })
  return { stage, bar, root: el('div', { class: name }, bar, stage) }
}

/**
 * Drags on a stage, one at a time.
 * @param {HTMLElement} stage
 */
export function createDrag(stage) {
  let held = false

  return {
    /** Whether something is held: it must stay where it is; the answer to its last place may be late. */
    isHeld: () => held,

    /**
     * Holds `element` from this pointerdown until the pointer is let go; the canvas below gets none
     * of it.
     * @template T
     * @param {PointerEvent} event
     * @param {HTMLElement} element
     * @param {T} before what is moved
     * @param {(dx: number, dy: number, to: PointerEvent) => T} move shows and returns what is moved by
     *   the way since the start, in parts of the stage
     * @param {(now: T) => void} save called at the end, where it has moved
     */
    start(event, element, before, move, save) {
      const area = stage.getBoundingClientRect()
      let now = before
      held = true
      event.preventDefault()
      event.stopPropagation()
      element.focus({ preventScroll: true })
      element.setPointerCapture(event.pointerId)
      element.onpointermove = (/** @type {PointerEvent} */ to) => {
        const dx = (to.clientX - event.clientX) / area.width
        const dy = (to.clientY - event.clientY) / area.height
        now = move(dx, dy, to)
      }
      element.onpointerup = element.onpointercancel = () => {
        element.onpointermove = element.onpointerup = element.onpointercancel = null
        held = false
        if (now !== before) save(now)
      }
    },
  }
}

/**
 * Only what an editor can draw; whether it is right is the server's to say.
 * @param {string} value a JSON list, or nothing
 * @param {(item: any) => boolean} fits
 * @returns {any[]} empty where one item does not fit
 */
export function readList(value, fits) {
  try {
    const items = JSON.parse(value || '[]')
    return items.every(fits) ? items : []
  } catch {
    return []
  }
}

/** @param {number} value in parts of the picture */
export const round = (value) => Math.round(value * 10000) / 10000

/** @param {number} value @param {number} low @param {number} high */
export const hold = (value, low, high) => Math.min(Math.max(value, low), high)

/**
 * Puts an element somewhere on its stage.
 * @param {HTMLElement} element
 * @param {Record<string, number>} where style properties, in parts of the stage
 */
export function place(element, where) {
  for (const [name, value] of Object.entries(where)) element.style.setProperty(name, `${value * 100}%`)
}
