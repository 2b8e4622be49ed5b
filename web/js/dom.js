/** Elements made of data; text goes in as text, never as markup. */

/**
 * @param {string} tag
 * @param {Record<string, any>} [properties] `class`, `style` (custom properties too), `onclick` and
 *   other listeners, else attributes; false and null leave one out
 * @param {...(Node | string)} children
 * @returns {any} the element; `any` spares a cast at each use
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (value === false || value == null) continue
    if (name === 'style') {
      for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each)
    } else if (name.startsWith('on')) {
      element.addEventListener(name.slice(2), value)
    } else {
      element.setAttribute(name, value === true ? '' : String(value))
    }
  }
  element.append(...children)
  return element
}

/**
 * An element of a drawing.
 * @param {string} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {...Node} children
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value))
  element.append(...children)
  return element
}

/**
 * Shows a picture behind an element, in the picture's shape.
 * @param {HTMLElement} stage
 * @param {string} address empty for none
 */
export function backdrop(stage, address) {
  if (stage.dataset.picture === address) return
  stage.dataset.picture = address
  stage.style.backgroundImage = address ? `url(${JSON.stringify(address)})` : ''
  if (!address) return
  const image = new Image()
  const shape = () => (stage.style.aspectRatio = `${image.width} / ${image.height}`)
  image.addEventListener('load', shape)
  image.src = address
}

/**
 * A button that does not take part in dragging its node.
 * @param {Record<string, any>} properties
 * @param {...(Node | string)} children
 */
export const button = (properties, ...children) =>
  el('button', { type: 'button', ...properties }, ...children)

/** The style sheet beside this folder, once. */
export function loadStyle() {
  const href = new URL('../css/ensemble.css', import.meta.url).href
  document.head.append(el('link', { rel: 'stylesheet', href }))
}

/** With Ctrl or Cmd they queue and save, from wherever the focus is. */
const EDITORS = ['Enter', 's']

/**
 * Keeps keys typed in our fields from the editor's own shortcuts.
 * @param {HTMLElement} root
 */
export function keepKeys(root) {
  for (const name of /** @type {const} */ (['keydown', 'keyup'])) {
    root.addEventListener(name, (event) => {
      if (!((event.ctrlKey || event.metaKey) && EDITORS.includes(event.key))) event.stopPropagation()
    })
  }
}

/**
 * Replaces the children of an element, and gives the focus back to the one with the same `data-key`.
 * @param {HTMLElement} element
 * @param {Node[]} children
 */
export function replace(element, children) {
  const focused = document.activeElement
  const key = element.contains(focused) ? /** @type {HTMLElement} */ (focused).dataset.key : undefined
  element.replaceChildren(...children)
  if (key === undefined) return
  for (const each of element.querySelectorAll('[data-key]')) {
    if (/** @type {HTMLElement} */ (each).dataset.key === key) {
      return /** @type {HTMLElement} */ (each).focus({ preventScroll: true })
    }
  }
}
