/** What the panels below our nodes' widgets share. */

import { addElement, onWidget } from './api.js'
import { el, keepKeys } from './dom.js'
import { t } from './texts.js'

/** @typedef {import('./types.js').ComfyNode} ComfyNode */
/** @typedef {import('./types.js').Widget} Widget */

/**
 * Adds elements of ours to a node.
 * @param {ComfyNode} node
 * @param {string} name
 * @param {string} title
 * @param {number} lowest height of all of them, in pixels
 * @param {HTMLElement[]} parts
 */
export function addPanel(node, name, title, lowest, parts) {
  const root = el('div', { class: 'ensemble', role: 'group', 'aria-label': title }, ...parts)
  keepKeys(root)
  addElement(node, name, root, () => {
    const height = parts.reduce((sum, part) => sum + part.offsetHeight, 0)
    return 24 + Math.max(lowest, height)
  })
  return root
}

/**
 * @param {() => void} refresh called when a widget's value changes
 * @returns {(widgets: (Widget | null | undefined)[]) => void} listens to widgets, to each once
 */
export function createListener(refresh) {
  /** @type {WeakSet<object>} */
  const heard = new WeakSet()
  return (widgets) => {
    for (const widget of widgets) {
      if (!widget || heard.has(widget)) continue
      heard.add(widget)
      onWidget(widget, refresh)
    }
  }
}

/**
 * Asks one question at a time, then the latest: answers come in order and typing never waits.
 * @param {ComfyNode} node
 * @param {() => void} refresh asks anew
 */
export function createAsker(node, refresh) {
  let shown = ''
  let asking = ''
  let busy = false
  let again = false

  return {
    /** What was shown is no longer: the next question is asked, whatever it is. */
    forget() {
      shown = ''
    },

    /**
     * @template T
     * @param {unknown} question all that the answer depends on
     * @param {() => Promise<T>} get
     * @param {(answer: T, late: boolean) => boolean} show says whether it showed the answer; late: a
     *   newer question waits
     * @param {(reason: string) => void} fail
     */
    async ask(question, get, show, fail) {
      const asked = JSON.stringify(question)
      if (busy) return void (again = asked !== asking)
      if (asked === shown) return
      busy = true
      asking = asked
      try {
        const answer = await get()
        shown = show(answer, again) ? asked : ''
      } catch (error) {
        shown = ''
        fail(String(error))
      } finally {
        busy = false
      }
      node.setDirtyCanvas(true, true)
      if (again) {
        again = false
        refresh()
      }
    },
  }
}

/**
 * The title of the node that an input is linked to.
 * @param {import('./source.js').Source} source
 */
export const titleOf = (source) => source.node?.title ?? t('people.subgraph')
