/** Completes names while `<lora:` or `<ref:` is typed into a node's text box. */

import { app } from './api.js'
import { choose } from './choices.js'
import { createPopup } from './popup.js'
import { recentNames, remember } from './recent.js'
import { loraList, referenceList } from './routes.js'
import { followers } from './source.js'

/** The tag being typed before the caret, and the beginning of a name. */
const OPEN_TAG = /<(lora|ref):([^<>:\n]*)$/i
/** What each kind of tag lists, and how one that was not closed ends behind the name. */
const KINDS = {
  lora: { list: loraList, recent: recentNames, ending: ':1>' },
  ref: { list: referenceList, recent: () => [], ending: '>' },
}
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
    const kind = typedTag(field)?.kind
    if (kind === KINDS.lora) remember(choice.name)
    if (kind) insert(field, choice.name)
  })
  let asked = 0

  async function update() {
    const tag = typedTag(field)
    const mine = ++asked
    if (!tag) return popup.hide()
    const list = await tag.kind.list()
    if (mine === asked) popup.show(choose(list, tag.name, tag.kind.recent()))
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
function typedTag(field) {
  if (field.selectionStart !== field.selectionEnd) return null
  const found = field.value.slice(0, field.selectionStart).match(OPEN_TAG)
  return found && { kind: found[1].toLowerCase() === 'ref' ? KINDS.ref : KINDS.lora, name: found[2] }
}

/** @param {HTMLTextAreaElement} field @param {string} name */
function insert(field, name) {
  const caret = field.selectionStart
  const { kind, name: typed } = typedTag(field) ?? { kind: KINDS.lora, name: '' }
  const [, rest, end] = field.value.slice(caret).match(REST) ?? ['', '', '']
  // Text behind a tag that was never closed is no part of its name.
  const closed = end !== ''
  field.setSelectionRange(caret - typed.length, closed ? caret + rest.length : caret)
  // The one way to write that the field's own undo knows of.
  document.execCommand('insertText', false, closed ? name : name + kind.ending)
  // Behind the tag, so that typing on leaves it whole.
  const after = field.value.indexOf('>', field.selectionStart - 1) + 1
  if (after) field.setSelectionRange(after, after)
}
