/** Completes LoRA names while `<lora:` is typed into a node's text box. */

import { app } from './api.js'
import { choose } from './choices.js'
import { createPopup } from './popup.js'
import { recentNames, remember } from './recent.js'
import { loraList } from './routes.js'
import { followers } from './source.js'

/** The tag being typed before the caret: `<lora:` and the beginning of a name. */
const OPEN_TAG = /<lora:([^<>:\n]*)$/i
/** The rest of a name behind the caret, and whether the tag goes on. */
const REST = /^([^<>:\n]*?)\s*([:>]|$)/

/**
 * Watches for the focus coming to a text box of the given nodes, in whichever renderer.
 * @param {HTMLElement} container
 * @param {string[]} classes
 */
export function completeTextOf(container, classes) {
  container.addEventListener('focusin', ({ target }) => {
    if (target instanceof HTMLTextAreaElement && isOurs(target, classes)) attach(target)
  })
}

/** @param {HTMLTextAreaElement} field @param {string[]} classes */
function isOurs(field, classes) {
  const nodes = app.canvas.graph?.nodes ?? []
  // The Vue renderer makes a text box of its own inside the node's element.
  const id = /** @type {HTMLElement | null} */ (field.closest('[data-node-id]'))?.dataset.nodeId
  return nodes.some(
    (/** @type {import('./types.js').ComfyNode} */ node) =>
      (classes.includes(node.comfyClass) || feeds(node, classes)) &&
      (String(node.id) === id || node.widgets?.some((widget) => widget.element === field)),
  )
}

/**
 * Whether a text node is linked to one of ours.
 * @param {import('./types.js').ComfyNode} node
 * @param {string[]} classes
 */
const feeds = (node, classes) =>
  node.comfyClass?.startsWith('Primitive') && followers(node).some((each) => classes.includes(each.comfyClass))

/**
 * Completes in a text box until it loses the focus: the editor keeps the box when its node is gone.
 * @param {HTMLTextAreaElement} field
 */
function attach(field) {
  const focused = new AbortController()
  const options = { signal: focused.signal }
  const popup = createPopup(field, (choice) => {
    popup.hide()
    remember(choice.name)
    insert(field, choice.name)
  })
  let asked = 0

  async function update() {
    const typed = typedName(field)
    const mine = ++asked
    if (typed === null) return popup.hide()
    const list = await loraList()
    if (mine === asked) popup.show(choose(list, typed, recentNames()))
  }

  field.addEventListener('input', update, options)
  field.addEventListener('keydown', (event) => popup.key(event), { capture: true, ...options })
  field.addEventListener('click', () => popup.isOpen() && update(), options)
  field.addEventListener('blur', () => {
    focused.abort()
    asked++
    popup.hide()
  }, options)
}

/** @param {HTMLTextAreaElement} field */
function typedName(field) {
  if (field.selectionStart !== field.selectionEnd) return null
  return field.value.slice(0, field.selectionStart).match(OPEN_TAG)?.[1] ?? null
}

/** @param {HTMLTextAreaElement} field @param {string} name */
function insert(field, name) {
  const caret = field.selectionStart
  const typed = typedName(field) ?? ''
  const [, rest, end] = field.value.slice(caret).match(REST) ?? ['', '', '']
  // Text behind a tag that was never closed is no part of its name.
  const closed = end !== ''
  field.setSelectionRange(caret - typed.length, closed ? caret + rest.length : caret)
  // The one way to write that the field's own undo knows of.
  document.execCommand('insertText', false, closed ? name : `${name}:1>`)
  // Behind the tag, so that typing on leaves it whole.
  const after = field.value.indexOf('>', field.selectionStart - 1) + 1
  if (after) field.setSelectionRange(after, after)
}
