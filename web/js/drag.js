/** What is held by the pointer on a stage, and the keys that move it. */

/** @type {Record<string, [number, number]>} */
export const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }

/**
 * Hold `element` from this pointerdown until the pointer is let go; the canvas below gets none of it.
 * @param {PointerEvent} event
 * @param {HTMLElement} element
 * @param {HTMLElement} stage
 * @param {{ move: (dx: number, dy: number, shift: boolean) => void, end: () => void }} listener the way
 *   since the start, in parts of the stage
 */
export function follow(event, element, stage, listener) {
  const area = stage.getBoundingClientRect()
  event.preventDefault()
  event.stopPropagation()
  element.focus({ preventScroll: true })
  element.setPointerCapture(event.pointerId)
  element.onpointermove = (/** @type {PointerEvent} */ move) => {
    const dx = (move.clientX - event.clientX) / area.width
    const dy = (move.clientY - event.clientY) / area.height
    listener.move(dx, dy, move.shiftKey)
  }
  element.onpointerup = element.onpointercancel = () => {
    element.onpointermove = element.onpointerup = element.onpointercancel = null
    listener.end()
  }
}
