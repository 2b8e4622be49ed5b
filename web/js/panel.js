/** What the panels below our nodes' widgets share. */

import { addElement, onWidget, watchSize } from './api.js'
import { el, keepKeys } from './dom.js'
import { isIdle } from './source.js'
import { t } from './texts.js'

/** @typedef {import('./types.js').ComfyNode} ComfyNode */
/** @typedef {import('./types.js').Widget} Widget */

/**
 * A panel of ours below a node's widgets.
 * @typedef {object} Panel
 * @property {string} name
 * @property {() => string} title
 * @property {number} lowest height, in pixels
 * @property {(node: ComfyNode, root: HTMLElement, gone: AbortSignal) => () => void} attach fills root
 *   while the node is in a graph; gives what reads everything again
 */

/** What reads everything again, by node; nodes that are in no graph are not in it. */
/** @type {Map<ComfyNode, () => void>} */
const refreshers = new Map()

export function refreshAll() {
  for (const refresh of refreshers.values()) refresh()
}

/** @param {ComfyNode} node */
const refreshOf = (node) => refreshers.get(node)?.()

export const nodesWithPanels = () => refreshers.keys()

/**
 * Adds a panel to a new node. It is filled when the node joins a graph and emptied when it leaves: the
 * editor keeps text widgets of nodes that are gone, and with them the nodes and all that these hold.
 * @param {ComfyNode} node
 * @param {Panel} panel
 */
export function addPanel(node, panel) {
  const root = el('div', { class: 'ensemble', role: 'group', 'aria-label': panel.title() })
  addElement(node, panel.name, root, heightOf(root, panel.lowest))
  /** @type {AbortController | null} */
  let life = null

  function end() {
    life?.abort()
    life = null
    refreshers.delete(node)
    root.replaceChildren()
  }

  function begin() {
    end()
    life = new AbortController()
    const inner = el('div')
    keepKeys(inner)
    root.append(inner)
    const read = panel.attach(node, inner, life.signal)
    watchSize(node, inner)
    refreshers.set(node, () => {
      root.classList.toggle('ensemble-idle', isIdle(node))
      read()
    })
  }

  after(node, 'onAdded', begin)
  for (const event of /** @type {const} */ (['onAdded', 'onConfigure'])) after(node, event, () => refreshOf(node))
  after(node, 'onConnectionsChange', () => queueMicrotask(() => refreshOf(node)))
  after(node, 'onRemoved', end)
}

/**
 * @param {ComfyNode} node
 * @param {'onAdded' | 'onRemoved' | 'onConfigure' | 'onConnectionsChange'} event
 * @param {() => void} act called after what the node does by itself
 */
function after(node, event, act) {
  const own = node[event]
  node[event] = function (...args) {
    own?.apply(this, args)
    act()
  }
}

/** A function of its own, so that the widget holds its element and nothing else of the node. */
/** @param {HTMLElement} root @param {number} lowest */
const heightOf = (root, lowest) => () =>
  24 + Math.max(lowest, /** @type {HTMLElement | null} */ (root.firstElementChild)?.offsetHeight ?? 0)

/**
 * @param {() => void} refresh called when a widget's value changes
 * @param {AbortSignal} gone ends that
 * @returns {(widgets: (Widget | null | undefined)[]) => void} listens to widgets, to each once
 */
export function createListener(refresh, gone) {
  /** @type {WeakSet<object>} */
  const heard = new WeakSet()
  return (widgets) => {
    for (const widget of widgets) {
      if (!widget || heard.has(widget) || gone.aborted) continue
      heard.add(widget)
      gone.addEventListener('abort', onWidget(widget, refresh))
    }
  }
}

/**
 * Asks one question at a time, then the latest: answers come in order and typing never waits.
 * @param {() => void} refresh asks anew
 */
export function createAsker(refresh) {
  let shown = ''
  let asking = ''
  let busy = false
  let again = false
  let forgotten = 0

  return {
    /** What was shown is no longer, nor is an answer on its way; the next question is asked, whatever it is. */
    forget() {
      shown = asking = ''
      again = false
      forgotten++
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
      const before = forgotten
      try {
        const answer = await get()
        if (before === forgotten) shown = show(answer, again) ? asked : ''
      } catch (error) {
        shown = ''
        if (before === forgotten) fail(String(error))
      } finally {
        busy = false
      }
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
