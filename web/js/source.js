/** Where the text of a node's input comes from: its own widget, or a text node linked to it. */

import { widgetOf } from './api.js'

/** @typedef {import('./types.js').ComfyNode} ComfyNode */
/** @typedef {import('./types.js').Widget} Widget */

/** Nodes that give out what is typed into them, unchanged. */
const PLAIN = new Set(['PrimitiveNode', 'PrimitiveString', 'PrimitiveStringMultiline'])
/** Modes of nodes, LiteGraph's numbers. */
const MUTED = 2
const BYPASSED = 4

/**
 * @typedef {object} Source
 * @property {ComfyNode | null} node whose widget it is; null where that is not to be told
 * @property {Widget | null} widget null where the text is known only when the graph runs
 * @property {boolean} linked
 */

/**
 * @param {ComfyNode} node
 * @param {string} name of the input
 * @returns {Source}
 */
export function sourceOf(node, name) {
  const origin = originOf(node, name)
  if (origin === undefined) return { node, widget: widgetOf(node, name) ?? null, linked: false }
  const [value] = origin && PLAIN.has(origin.type) ? (origin.widgets ?? []) : []
  // Its own text may come from another one in turn.
  if (origin && value) return { ...sourceOf(origin, value.name), linked: true }
  return { node: origin, widget: null, linked: true }
}

/** ComfyUI's, for texts whose `{one|another}` and comments it works out when it queues a graph. */
const COMMENT = /\/\*[\s\S]*?\*\/|\/\/.*/g
const CHOICE = /(?<!\\)\{[^{}]*\|[^{}]*\}/

/**
 * A widget's text as it will be sent, with blanks for comments, so that offsets stay; `drawn` says
 * that a choice in it is drawn anew for each run.
 * @param {Widget} widget
 */
export function sentText({ value, dynamicPrompts }) {
  const text = String(value)
  if (!dynamicPrompts) return { text, drawn: false }
  const sent = text.replace(COMMENT, (comment) => comment.replace(/[^\n]/g, ' '))
  return { text: sent, drawn: CHOICE.test(sent) }
}

/**
 * The node that an input is linked to, through reroutes; undefined without a link or where nothing
 * comes over it, as from a muted node; null where it leads out of a subgraph.
 * @param {ComfyNode} node
 * @param {string} name
 * @returns {ComfyNode | null | undefined}
 */
export function originOf(node, name) {
  const slot = node.inputs?.findIndex((input) => input.name === name) ?? -1
  if (slot < 0 || node.inputs?.[slot].link == null || !node.graph) return undefined
  const link = node.getInputLink(slot)
  const origin = link ? node.graph.getNodeById(link.origin_id) : null
  if (!origin) return null
  if (origin.type === 'Reroute') return originOf(origin, origin.inputs[0].name)
  const passes = origin.inputs?.some((/** @type {any} */ input) => input.link != null)
  const idle = origin.mode === MUTED || (origin.mode === BYPASSED && !passes)
  return idle ? undefined : origin
}
