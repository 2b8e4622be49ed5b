/** MultiLoraLoader as rows over its strings `loras` and `strengths`, which stay what is saved. */

import { addElement, asOneStep, loraList, onWidget, readStack, widgetOf, writeWidget } from './api.js'
import { el, keepKeys } from './dom.js'
import { createLoraRows } from './lora_rows.js'
import { sentText, sourceOf } from './source.js'
import { t } from './texts.js'

/** @typedef {import('./types.js').ComfyNode} ComfyNode */
/** @typedef {import('./lora_rows.js').Entry} Entry */

const READ = ['loras', 'strengths', 'prompt']
/** Node property: the strengths that rows had before they were switched off, by name. */
const RESTING = 'ensemble.resting'

/**
 * Adds the rows to a new node.
 * @param {ComfyNode} node
 * @returns {() => void} reads everything again
 */
export function attachLoraRows(node) {
  const view = createLoraRows({ write, list: loraList })
  const root = el('div', { class: 'ensemble', role: 'group', 'aria-label': t('rows.title') }, view.element)
  keepKeys(root)
  addElement(node, 'ensemble_loras', root, () => 24 + Math.max(30, view.element.offsetHeight))

  /** @param {Entry[]} entries */
  function write(entries) {
    const names = widgetOf(node, 'loras')
    const strengths = widgetOf(node, 'strengths')
    if (!names || !strengths) return
    const off = entries.filter((entry) => !entry.on && entry.strength !== 0)
    asOneStep(() => {
      node.properties[RESTING] = Object.fromEntries(off.map((entry) => [entry.name, entry.strength]))
      writeWidget(node, names, entries.map((entry) => quoted(entry.name)).join(','))
      writeWidget(node, strengths, entries.map((entry) => (entry.on ? entry.strength : 0)).join(','))
    })
  }

  /** @type {WeakSet<object>} */
  const heard = new WeakSet()
  let shown = ''
  let asking = ''
  let busy = false
  let again = false

  async function refresh() {
    const sources = READ.map((name) => sourceOf(node, name))
    for (const widget of [...sources.map((source) => source.widget), ...READ.map((name) => widgetOf(node, name))]) {
      if (widget && !heard.has(widget)) {
        heard.add(widget)
        onWidget(widget, refresh)
      }
    }
    const hidden = sources.slice(0, 2).find((source) => !source.widget)
    if (hidden) {
      shown = ''
      return view.say(t('people.later', { title: hidden.node?.title ?? t('people.subgraph') }))
    }
    const [loras, strengths, prompt] = sources.map(({ widget }) => (widget ? sentText(widget).text : ''))
    const editable = !sources[0].linked && !sources[1].linked
    const resting = node.properties[RESTING] ?? {}
    const asked = JSON.stringify([loras, strengths, prompt, editable, resting])
    // One question at a time, then the latest.
    if (busy) return void (again = asked !== asking)
    if (asked === shown) return
    busy = true
    asking = asked
    try {
      const [reading, list] = await Promise.all([readStack({ loras, strengths, prompt }), loraList()])
      const byFile = new Map(list.loras.map((lora) => [lora.file, lora]))
      const entryOf = (/** @type {import('./types.js').Row} */ { name, strength }) =>
        strength === 0 ? { name, strength: resting[name] ?? 0, on: false } : { name, strength, on: true }
      // While a newer question waits, what is shown is newer than this answer.
      if (!again) {
        shown = asked
        view.show(reading, entryOf, editable, byFile)
      }
    } catch (error) {
      shown = ''
      view.say(String(error))
    } finally {
      busy = false
    }
    node.setDirtyCanvas(true, true)
    if (again) {
      again = false
      refresh()
    }
  }
  return refresh
}

/**
 * As the list is read: names with commas or quotes in quotes, quotes doubled.
 * @param {string} name
 */
const quoted = (name) => (/[",]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name)
