/** Completes names while `<lora:`, `<ref:`, or `@` of a cast is typed into a node's text box. */

import { app } from './api.js'
import { castList, castNodeOf } from './cast_node.js'
import { choose } from './choices.js'
import { createPopup } from './popup.js'
import { recentNames, remember } from './recent.js'
import { loraList, referenceList } from './routes.js'
import { followers } from './source.js'

/** The tag being typed before the caret, and the beginning of a name. */
const OPEN_TAG = /<(lora|ref):([^<>:\n]*)$/i
/** As ensemble/prompt/cast.py has it: not inside a word, and no plain `\@`. */
const OPEN_PERSON = /(?<![\p{L}\p{N}_@\\])@([\p{L}\p{N}_-]*)$/u
/** The rest of a name behind the caret, and whether the tag goes on. */
const REST = /^([^<>:\n]*?)\s*([:>]|$)/
const REST_OF_PERSON = /^([\p{L}\p{N}_-]*)()/u
/** What each kind of tag lists, and how one that was not closed ends behind the name. */
const KINDS = {
  lora: { list: loraList, recent: recentNames, rest: REST, ending: ':1>' },
  ref: { list: referenceList, recent: () => [], rest: REST, ending: '>' },
}

/**
 * Watches for the focus coming to a text box of the given nodes, in whichever renderer.
 * @param {HTMLElement} container
 * @param {string[]} classes
 */
export function completeTextOf(container, classes) {
  container.addEventListener('focusin', ({ target }) => {
    const node = target instanceof HTMLTextAreaElement && ownerOf(target, classes)
    if (node) attach(/** @type {HTMLTextAreaElement} */ (target), castNodeOf(node))
  })
}

/**
 * @param {HTMLTextAreaElement} field
 * @param {string[]} classes
 * @returns {import('./types.js').ComfyNode | undefined} whose text box it is, where it is one of ours
 */
function ownerOf(field, classes) {
  const nodes = app.canvas.graph?.nodes ?? []
  // The Vue renderer makes a text box of its own inside the node's element.
  const id = /** @type {HTMLElement | null} */ (field.closest('[data-node-id]'))?.dataset.nodeId
  return nodes.find(
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
 * @param {import('./types.js').ComfyNode} [caster] whose cast is meant by @
 */
function attach(field, caster) {
  const focused = new AbortController()
  const options = { signal: focused.signal }
  const popup = createPopup(field, (choice) => {
    popup.hide()
    const tag = typedTag(field, caster)
    if (tag?.kind === KINDS.lora) remember(choice.name)
    if (tag) insert(field, tag, choice.name)
  })

  function update() {
    const tag = typedTag(field, caster)
    if (!tag) return popup.hide()
    return popup.ask(tag.kind.list().then((list) => choose(list, tag.name, tag.kind.recent())))
  }

  field.addEventListener('input', update, options)
  field.addEventListener('keydown', (event) => popup.key(event), { capture: true, ...options })
  field.addEventListener('click', () => popup.isOpen() && update(), options)
  field.addEventListener('blur', () => {
    focused.abort()
    popup.hide()
  }, options)
}

/**
 * @typedef {{ list: () => Promise<import('./types.js').LoraList>, recent: () => string[], rest: RegExp,
 *   ending: string }} Kind
 */

/**
 * @param {HTMLTextAreaElement} field
 * @param {import('./types.js').ComfyNode} [caster]
 * @returns {{ kind: Kind, name: string } | null} the name being typed
 */
function typedTag(field, caster) {
  if (field.selectionStart !== field.selectionEnd) return null
  const before = field.value.slice(0, field.selectionStart)
  const found = before.match(OPEN_TAG)
  if (found) return { kind: found[1].toLowerCase() === 'ref' ? KINDS.ref : KINDS.lora, name: found[2] }
  const person = caster && before.match(OPEN_PERSON)
  if (!person) return null
  const list = () => castList(caster)
  return { kind: { list, recent: () => [], rest: REST_OF_PERSON, ending: '' }, name: person[1] }
}

/** @param {HTMLTextAreaElement} field @param {{ kind: Kind, name: string }} tag @param {string} name */
function insert(field, { kind, name: typed }, name) {
  const caret = field.selectionStart
  const [, rest, end] = field.value.slice(caret).match(kind.rest) ?? ['', '', '']
  // Text behind a tag that was never closed is no part of its name.
  const closed = end !== '' || !kind.ending
  field.setSelectionRange(caret - typed.length, closed ? caret + rest.length : caret)
  // The one way to write that the field's own undo knows of.
  document.execCommand('insertText', false, closed ? name : name + kind.ending)
  if (!kind.ending) return
  // Behind the tag, so that typing on leaves it whole.
  const after = field.value.indexOf('>', field.selectionStart - 1) + 1
  if (after) field.setSelectionRange(after, after)
}
