/** A number that arrow keys change, and dragging sideways. */

import { ARROWS } from './stage.js'

const STEP = 0.05
const FINE = 0.01
/** So many pixels of dragging are one step. */
const PIXELS = 6
const MOST = 100

/**
 * @param {HTMLElement} element
 * @param {number} value
 * @param {(value: number) => void} show while it is dragged
 * @param {(value: number) => void} save
 */
export function steer(element, value, show, save) {
  element.addEventListener('keydown', (event) => {
    const [x = 0, y = 0] = ARROWS[event.key] ?? []
    if (!x && !y) return
    event.preventDefault()
    save(stepped(value, x - y, event.shiftKey ? FINE : STEP))
  })
  element.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return
    event.stopPropagation()
    element.setPointerCapture(event.pointerId)
    let now = value
    const move = (/** @type {PointerEvent} */ to) => {
      const steps = Math.trunc((to.clientX - event.clientX) / PIXELS)
      now = stepped(value, steps, to.shiftKey ? FINE : STEP)
      show(now)
    }
    const stop = () => {
      element.removeEventListener('pointermove', move)
      if (now !== value) save(now)
    }
    element.addEventListener('pointermove', move)
    element.addEventListener('pointerup', stop, { once: true })
    element.addEventListener('pointercancel', stop, { once: true })
  })
}

/** @param {number} value @param {number} steps @param {number} step */
const stepped = (value, steps, step) =>
  steps ? Math.max(-MOST, Math.min(MOST, Math.round((value + steps * step) * 100) / 100)) : value
