/** BreakRegionalPrompt in the editor: its text read live, and its people's boxes. */

import { addElement, linesOf, onWidget, picturesOf, readPrompt, widgetOf, writeWidget } from './api.js'
import { createBoxes } from './boxes.js'
import { el, keepKeys } from './dom.js'
import { createPeoplePanel } from './people_panel.js'
import { originOf, sentText, sourceOf } from './source.js'
import { t } from './texts.js'

/** @typedef {import('./types.js').ComfyNode} ComfyNode */

/** Inputs that the reading depends on. */
const READ = ['text', 'negative', 'weights', 'order', 'boxes']
/** Inputs that change what is shown besides. */
const SHOWN = ['layout']

/**
 * Adds the panel to a new node.
 * @param {ComfyNode} node
 * @returns {() => void} reads everything again
 */
export function attachPeople(node) {
  let text = ''
  const panel = createPeoplePanel({
    rename(tag, name) {
      const at = text.indexOf(tag.name, tag.start)
      write(text.slice(0, at) + name + text.slice(at + tag.name.length))
    },
    mend: ({ at, insert }) => write(text.slice(0, at) + insert + text.slice(at)),
    select(part) {
      const field = fieldOf(node, root)
      field?.focus()
      field?.setSelectionRange(part.start, part.end)
    },
  })
  const boxes = createBoxes((value) => {
    const { node: origin, widget } = sourceOf(node, 'boxes')
    if (origin && widget) writeWidget(origin, widget, value)
  })
  const root = el('div', { class: 'ensemble', role: 'group', 'aria-label': t('people.title') }, panel.root, boxes.root)
  keepKeys(root)
  const inner = [panel.root, boxes.root]
  const box = widgetOf(node, 'text')
  // On the canvas, text boxes keep two lines when the rest grows; for several people that is too few.
  if (box) box.options.getMinHeight = () => (sourceOf(node, 'text').linked ? 50 : 110)
  addElement(node, 'ensemble_people', root, () => 24 + Math.max(40, inner.reduce((sum, e) => sum + e.offsetHeight, 0)))

  /** @param {string} value */
  function write(value) {
    const source = sourceOf(node, 'text')
    if (source.node && source.widget?.value === text) writeWidget(source.node, source.widget, value)
  }

  /** @type {WeakSet<object>} */
  const heard = new WeakSet()
  let shown = ''
  let asking = ''
  let busy = false
  let again = false

  async function refresh() {
    const source = sourceOf(node, 'text')
    for (const widget of [source.widget, ...[...READ, ...SHOWN].map((name) => widgetOf(node, name))]) {
      if (widget && !heard.has(widget)) {
        heard.add(widget)
        onWidget(widget, refresh)
      }
    }
    boxes.setPicture(picture(node))
    panel.warn(linesOf(node))
    if (!source.widget) {
      shown = ''
      boxes.setPeople(null, '')
      return panel.say(t('people.later', { title: source.node?.title ?? t('people.subgraph') }))
    }
    const whole = String(source.widget.value)
    const sent = sentText(source.widget)
    const body = /** @type {any} */ ({ text: sent.text })
    for (const name of READ.slice(1)) {
      const { widget } = sourceOf(node, name)
      if (widget?.value) body[name] = sentText(widget).text
    }
    const asked = JSON.stringify([whole, body, across(node, body.boxes)])
    // One question at a time, then the latest: answers come in order and typing never waits.
    if (busy) return void (again = asked !== asking)
    if (asked === shown) return
    busy = true
    asking = asked
    try {
      const reading = await readPrompt(body)
      shown = asked
      text = whole
      panel.show(reading, sent.drawn, across(node, body.boxes))
      // The boxes as they are by now, not as they were when the question went out.
      const drawn = sourceOf(node, 'boxes').widget
      boxes.setPeople(drawn && Math.max(0, reading.parts.length - 2), String(drawn?.value ?? ''))
    } catch (error) {
      shown = ''
      panel.say(String(error))
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
 * Boxes and poses stand side by side; of masks that are linked nothing can be told here.
 * @param {ComfyNode} node
 * @param {string | undefined} boxes
 * @returns {import('./people_panel.js').Across}
 */
function across(node, boxes) {
  if (boxes) return 'columns'
  if (originOf(node, 'regions') !== undefined) return 'unknown'
  if (originOf(node, 'pose') !== undefined) return 'columns'
  return widgetOf(node, 'layout')?.value === 'rows' ? 'rows' : 'columns'
}

/**
 * The picture that boxes are drawn over: of what is linked to pose or regions, else the last that
 * any node of the graph showed.
 * @param {ComfyNode} node
 */
function picture(node) {
  const linked = [originOf(node, 'pose'), originOf(node, 'regions')]
  const others = [...(node.graph?.nodes ?? [])].reverse()
  for (const each of [...linked, ...others]) {
    const [first] = each ? picturesOf(each) : []
    if (first) return first
  }
  return ''
}

/**
 * The text box of `text`: the widget's own, or the one that the Vue renderer made for it.
 * @param {ComfyNode} node
 * @param {HTMLElement} root
 * @returns {HTMLTextAreaElement | null}
 */
function fieldOf(node, root) {
  const { widget, linked } = sourceOf(node, 'text')
  const element = widget?.element
  if (element?.isConnected) return /** @type {HTMLTextAreaElement} */ (element)
  return linked ? null : (root.closest('[data-node-id]')?.querySelector('textarea') ?? null)
}
