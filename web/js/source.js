/** Where the text of a node's input comes from: its own widget, or a text node linked to it. */

import { widgetOf } from './api.js'

/** @typedef {import('./types.js').ComfyNode} ComfyNode */
/** @typedef {import('./types.js').Widget} Widget */

/** Nodes that give out what is typed into them, unchanged. */
const PLAIN = new Set(['PrimitiveNode', 'PrimitiveString', 'PrimitiveStringMultiline'])
/** Modes of nodes, LiteGraph's numbers. */
const MUTED = 2
const BYPASSED = 4

/** @param {ComfyNode} node */
export const isIdle = (node) => node.mode === MUTED || node.mode === BYPASSED

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
  const outside = outsideOf(node, name)
  if (outside?.host) return { ...sourceOf(outside.host, outside.name), linked: true }
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
 * comes over it, as from a muted node; null where it leads out of a subgraph that stands in several places.
 * @param {ComfyNode} node
 * @param {string} name
 * @returns {ComfyNode | null | undefined}
 */
export function originOf(node, name) {
  const link = linkOf(node, name)
  if (link === undefined) return undefined
  const outside = outsideOf(node, name)
  if (outside) return outside.host && originOf(outside.host, outside.name)
  const origin = link ? node.graph.getNodeById(link.origin_id) : null
  if (!origin) return null
  if (origin.type === 'Reroute') return originOf(origin, origin.inputs[0].name)
  const passes = origin.inputs?.some((/** @type {any} */ input) => input.link != null)
  const idle = origin.mode === MUTED || (origin.mode === BYPASSED && !passes)
  return idle ? undefined : origin
}

/**
 * @param {ComfyNode} node
 * @param {string} name of the input
 * @returns {ReturnType<ComfyNode['getInputLink']> | undefined} undefined where nothing is linked, null
 *   where the link is not there yet, while a graph is loaded
 */
function linkOf(node, name) {
  const slot = node.inputs?.findIndex((input) => input.name === name) ?? -1
  if (slot < 0 || node.inputs?.[slot].link == null || !node.graph) return undefined
  return node.getInputLink(slot)
}

/**
 * The input of the subgraph that an input inside it is linked to; the host is null where the subgraph
 * stands in several places, each with a value of its own.
 * @param {ComfyNode} node
 * @param {string} name
 * @returns {{ host: ComfyNode | null, name: string } | null} null where the link stays inside
 */
function outsideOf(node, name) {
  const link = linkOf(node, name)
  const { inputNode, inputs, rootGraph } = node.graph ?? {}
  if (!link || !inputNode || link.origin_id !== inputNode.id) return null
  const graphs = [rootGraph, ...rootGraph.subgraphs.values()]
  const hosts = graphs.flatMap((graph) => graph.nodes).filter((each) => each.subgraph === node.graph)
  return { host: hosts.length === 1 ? hosts[0] : null, name: inputs[link.origin_slot].name }
}

/**
 * The nodes that a node's outputs are linked to.
 * @param {ComfyNode} node
 * @returns {ComfyNode[]}
 */
export function followers(node) {
  const { graph } = node
  const links = (node.outputs ?? []).flatMap((/** @type {any} */ output) => output.links ?? [])
  const ids = links.map((/** @type {any} */ link) => graph.getLink(link)?.target_id)
  return [...new Set(ids)].map((id) => graph.getNodeById(id)).filter(Boolean)
}
