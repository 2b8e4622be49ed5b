/** EnsembleCast in the editor: who is named in its text, as chips, and names for completion. */

import { widgetOf } from './api.js'
import { el, replace } from './dom.js'
import { tint } from './palette.js'
import { createAsker, createListener, titleOf } from './panel.js'
import { readCast } from './routes.js'
import { followers, sentText, sourceOf } from './source.js'
import { t } from './texts.js'

/** @typedef {import('./types.js').ComfyNode} ComfyNode */
/** @typedef {import('./types.js').Mention} Mention */

const READ = ['text', 'negative', 'cast']
const CAST = 'EnsembleCast'

/** @type {import('./panel.js').Panel} */
export const CAST_PANEL = { name: 'ensemble_cast', title: () => t('cast.title'), lowest: 30, attach }

/** @type {import('./panel.js').Panel['attach']} */
function attach(node, root, gone) {
  const notes = el('div', { class: 'ensemble-notes', role: 'status' })
  const chips = el('ul', { class: 'ensemble-chips', 'aria-label': t('cast.title') })
  root.append(el('div', { class: 'ensemble-people' }, notes, chips))
  const listen = createListener(refresh, gone)
  const asker = createAsker(refresh)

  /** @param {string} text */
  function say(text) {
    notes.replaceChildren()
    chips.replaceChildren(el('li', { class: 'ensemble-hint' }, text))
  }

  function refresh() {
    const sources = READ.map((name) => sourceOf(node, name))
    listen([...sources.map((source) => source.widget), ...READ.map((name) => widgetOf(node, name))])
    const hidden = sources.find((source) => !source.widget)
    if (hidden) {
      asker.forget()
      return say(t('people.later', { title: titleOf(hidden) }))
    }
    const [text, negative, cast] = sources.map(({ widget }) => (widget ? sentText(widget).text : ''))
    asker.ask(
      [text, negative, cast],
      () => readCast({ text, negative, cast }),
      ({ people, named, problems }) => {
        replace(notes, problems.map(({ message }) => el('p', { class: 'ensemble-bad' }, message)))
        // While a name is being typed it is nobody's: who was named before stays, dimmed.
        chips.classList.toggle('ensemble-stale', problems.length > 0)
        if (problems.length) return true
        const words = new Map(people.map((each) => [each.name, each.text]))
        const first = named.filter((each, index) => named.findIndex(({ name }) => name === each.name) === index)
        replace(chips, first.map((each) => chip(each, words.get(each.name) ?? '')))
        if (!first.length) say(t('cast.nobody', { names: people.map(({ name }) => `@${name}`).join(', ') }))
        return true
      },
      say,
    )
  }
  return refresh
}

/** @param {Mention} mention @param {string} words that stand for the person */
function chip({ name, number }, words) {
  /** @type {Record<string, string>} */
  const style = number ? { '--ensemble-tint': tint(number) } : {}
  return el('li', { class: 'ensemble-chip', style, 'data-person': name, title: words },
    el('div', { class: 'ensemble-chip-line' }, el('b', {}, `@${name}`), el('span', {}, words)))
}

/**
 * The node whose cast a text box of this node may name: itself, or the one that a text node leads to.
 * @param {ComfyNode} node
 * @returns {ComfyNode | undefined}
 */
export const castNodeOf = (node) =>
  node.comfyClass === CAST ? node : followers(node).find(({ comfyClass }) => comfyClass === CAST)

/**
 * Everybody whom @name can mean there, as LoRAs are listed.
 * @param {ComfyNode} node with a cast
 * @returns {Promise<import('./types.js').LoraList>}
 */
export async function castList(node) {
  const { widget } = sourceOf(node, 'cast')
  const { people } = await readCast({ text: '', cast: widget ? String(widget.value) : '' })
  const plain = { triggers: [], title: '', damaged: '', preview: '' }
  const loras = people.map(({ name, text }) => ({ ...plain, name, file: name, base_model: text }))
  return { loras, aliases: {}, problem: '' }
}
