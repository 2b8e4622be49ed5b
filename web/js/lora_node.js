/** MultiLoraLoader as rows over its strings `loras` and `strengths`, which stay what is saved. */

import { asOneStep, widgetOf, writeWidget } from './api.js'
import { createLoraRows } from './lora_rows.js'
import { createAsker, createListener, titleOf } from './panel.js'
import { loraList, readStack } from './routes.js'
import { sentText, sourceOf } from './source.js'
import { t } from './texts.js'

/** @typedef {import('./types.js').ComfyNode} ComfyNode */
/** @typedef {import('./lora_rows.js').Entry} Entry */

const READ = ['loras', 'strengths', 'prompt']
/** Node property: the strengths that rows had before they were switched off, by name. */
const RESTING = 'ensemble.resting'

/** @type {import('./panel.js').Panel} */
export const ROWS_PANEL = { name: 'ensemble_loras', title: () => t('rows.title'), lowest: 30, attach }

/** @type {import('./panel.js').Panel['attach']} */
function attach(node, root, gone) {
  const view = createLoraRows({ write, list: loraList, say })
  root.append(view.element)
  const listen = createListener(refresh, gone)
  const asker = createAsker(refresh)

  /** @param {Entry[]} entries */
  function write(entries) {
    const names = widgetOf(node, 'loras')
    const strengths = widgetOf(node, 'strengths')
    if (!names || !strengths) return
    const off = entries.filter((entry) => !entry.on && entry.strength !== 0)
    asOneStep(() => {
      node.properties[RESTING] = Object.fromEntries(off.map((entry) => [entry.name, written(entry)]))
      writeWidget(node, names, entries.map((entry) => quoted(entry.name)).join(','))
      writeWidget(node, strengths, entries.map((entry) => (entry.on ? written(entry) : 0)).join(','))
    })
  }

  /** Puts trigger words into the prompt. */
  /** @param {string} words */
  function say(words) {
    const { node: origin, widget } = sourceOf(node, 'prompt')
    const before = String(widget?.value ?? '').trimEnd()
    if (origin && widget) writeWidget(origin, widget, before ? `${before}, ${words}` : words)
  }

  function refresh() {
    const sources = READ.map((name) => sourceOf(node, name))
    listen([...sources.map((source) => source.widget), ...READ.map((name) => widgetOf(node, name))])
    const hidden = sources.slice(0, 2).find((source) => !source.widget)
    if (hidden) {
      asker.forget()
      return view.say(t('people.later', { title: titleOf(hidden) }))
    }
    const [loras, strengths, prompt] = sources.map(({ widget }) => (widget ? sentText(widget).text : ''))
    const editable = !sources[0].linked && !sources[1].linked
    const resting = node.properties[RESTING] ?? {}
    asker.ask(
      [loras, strengths, prompt, editable, resting],
      () => Promise.all([readStack({ loras, strengths, prompt }), loraList()]),
      ([reading, list], late) => {
        // While a newer question waits, what is shown is newer than this answer.
        if (late) return false
        const byFile = new Map(list.loras.map((lora) => [lora.file, lora]))
        const entryOf = (/** @type {import('./types.js').Row} */ { name, strength, clip_strength: clip }) =>
          strength || clip ? { name, strength, clip, on: true } : { name, ...restingOf(resting[name]), on: false }
        view.show(reading, entryOf, editable, byFile)
        return true
      },
      view.say,
    )
  }
  return refresh
}

/** As `strengths` has it: one number, or two with a colon. */
/** @param {Entry} entry */
const written = ({ strength, clip }) => (strength === clip ? strength : `${strength}:${clip}`)

/** @param {number | string | undefined} rest as `written` gives it */
function restingOf(rest) {
  const [strength, clip = strength] = String(rest ?? 0).split(':').map(Number)
  return { strength, clip }
}

/**
 * As the list is read: names with commas or quotes in quotes, quotes doubled.
 * @param {string} name
 */
const quoted = (name) => (/[",]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name)
