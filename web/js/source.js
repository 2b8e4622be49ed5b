/** Where the text of a node's input comes from: its own widget, or a text node linked to it. */

import { widgetOf } from './api.js'

/** @typedef {import('./types.js').ComfyNode} ComfyNode */
/** @typedef {import('./types.js').Widget} Widget */

/** Nodes that give out what is typed into them, unchanged. */
const PLAIN = new Set(['PrimitiveNode', 'PrimitiveString', 'PrimitiveStringMultiline'])

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
  if (origin && PLAIN.has(origin.type)) {
    return { node: origin, widget: origin.widgets?.[0] ?? null, linked: true }
  }
  return { node: origin, widget: null, linked: true }
}

/**
 * The node that an input is linked to, through reroutes; undefined without a link, null where the
 * link leads out of a subgraph.
 * @param {ComfyNode} node
 * @param {string} name
 * @returns {ComfyNode | null | undefined}
 */
export function originOf(node, name) {
  const slot = node.inputs?.findIndex((input) => input.name === name) ?? -1
  if (slot < 0 || node.inputs?.[slot].link == null || !node.graph) return undefined
  const link = node.getInputLink(slot)
  const origin = link ? node.graph.getNodeById(link.origin_id) : null
  if (origin?.type === 'Reroute') return originOf(origin, origin.inputs?.[0]?.name) ?? null
  return origin ?? null
}
