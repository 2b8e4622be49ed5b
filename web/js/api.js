/** The one module that talks to ComfyUI's editor and server. */

import { api } from '/scripts/api.js'
import { app } from '/scripts/app.js'

/** @typedef {import('./types.js').ComfyNode} ComfyNode */
/** @typedef {import('./types.js').Widget} Widget */

export { api, app }

/** @param {string} id of one of our settings @returns {Promise<any>} null where it was never stored */
export const loadSetting = (id) => api.getSetting(id)

/** @param {string} id @param {any} value */
export const storeSetting = (id, value) => api.storeSetting(id, value)

/** @returns {Promise<string[]>} */
export async function checkpoints() {
  const response = await api.fetchApi('/models/checkpoints')
  return response.ok ? response.json() : []
}

/**
 * The files of a model folder, or the pictures of the input folder (`images`).
 * @param {string} folder
 * @returns {Promise<string[]>}
 */
export async function filesOf(folder) {
  const path = folder === 'images' ? '/internal/files/input' : `/models/${folder}`
  const response = folder === 'images' ? await fetch(api.internalURL(path.slice(9))) : await api.fetchApi(path)
  if (!response.ok) return []
  // Those of the input folder say which folder they are of.
  return (await response.json()).map((/** @type {string} */ name) => name.replace(/ \[input\]$/, ''))
}

/** Texts of every custom node, by language. */
export async function customTexts() {
  return (await api.fetchApi('/i18n')).json()
}

export const language = () => app.extensionManager.setting.get('Comfy.Locale') ?? 'en'

/**
 * Puts a picture into ComfyUI's input folder.
 * @param {string} name
 * @param {Blob} data
 * @param {boolean} [overwrite] another file of this name; else ComfyUI gives this one a name of its own
 */
export async function uploadPicture(name, data, overwrite = true) {
  const form = new FormData()
  form.append('image', data, name)
  form.append('overwrite', String(overwrite))
  const response = await api.fetchApi('/upload/image', { method: 'POST', body: form })
  if (!response.ok) throw new Error(`HTTP ${response.status}`)
  return (await response.json()).name
}

/**
 * A file of this folder.
 * @param {string} path
 */
export async function ownFile(path) {
  const response = await fetch(new URL(`../${path}`, import.meta.url))
  if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`)
  return response.blob()
}

/**
 * Opens a workflow in a tab of its own.
 * @param {object} workflow
 * @param {string} name
 */
export const openWorkflow = (workflow, name) => app.loadGraphData(workflow, true, true, name)

/** Asks for the files that nodes choose among anew. */
export const refreshChoices = () => app.refreshComboInNodes()

/** @param {File} file */
export const openFile = (file) => app.handleFile(file)

/** @param {'success' | 'info' | 'warn' | 'error'} severity @param {string} summary @param {string} detail */
export function toast(severity, summary, detail) {
  app.extensionManager.toast.add({ severity, summary, detail, life: 8000 })
}

/** @param {string} id */
export const runCommand = (id) => app.extensionManager.command.execute(id)

/** @param {() => void} listener called when the graph has changed, or a node has shown something */
export function onChange(listener) {
  api.addEventListener('graphChanged', listener)
  api.addEventListener('executed', listener)
}

/**
 * Changes values as one step that can be undone.
 * @param {() => void} change
 */
export function asOneStep(change) {
  app.canvas.emitBeforeChange()
  try {
    change()
  } finally {
    app.canvas.emitAfterChange()
  }
}

/** @param {ComfyNode} node @param {string} name @returns {Widget | undefined} */
export const widgetOf = (node, name) => node.widgets?.find((widget) => widget.name === name)

/**
 * Writes into a widget as typing does.
 * @param {ComfyNode} node
 * @param {Widget} widget
 * @param {string} value
 */
export function writeWidget(node, widget, value) {
  const before = widget.value
  if (before === value) return
  asOneStep(() => {
    widget.value = value
    // A DOM widget has called it already when its value was set.
    if (!widget.element) widget.callback?.(value, app.canvas, node)
    node.onWidgetChanged?.(widget.name, value, before, widget)
  })
  node.setDirtyCanvas(true, true)
}

/**
 * Calls `listener` whenever the widget's value is typed or set.
 * @param {Widget} widget
 * @param {() => void} listener
 * @returns {() => void} ends that
 */
export function onWidget(widget, listener) {
  const { callback } = widget
  /** @type {(() => void) | null} */
  let heard = listener
  widget.callback = function (...args) {
    callback?.apply(this, args)
    heard?.()
  }
  return () => (heard = null)
}

/**
 * Adds an element of ours below the widgets; it is neither saved nor sent.
 * @param {ComfyNode} node
 * @param {string} name
 * @param {HTMLElement} element
 * @param {() => number} height
 */
export function addElement(node, name, element, height) {
  // The panel of properties would show the element's bare name, and take the element's width from it.
  const options = { serialize: false, hideInPanel: true, margin: 8, getMinHeight: height, getMaxHeight: height }
  const widget = node.addDOMWidget(name, name, element, options)
  widget.serialize = false
  element.dataset.ensemble = name
}

/**
 * Lays the node out anew when what it shows grows, not at the next stroke of the mouse.
 * @param {ComfyNode} node
 * @param {HTMLElement} element
 */
export const watchSize = (node, element) =>
  new ResizeObserver(() => node.setDirtyCanvas(true, true)).observe(element)

/**
 * Puts the elements of a node where those of its forerunner are: after an undo the Vue renderer goes
 * on showing the elements of the node that had the same id before.
 * @param {ComfyNode} node
 */
export function takePlace(node) {
  if (node.graph !== app.canvas.graph) return
  for (const { element } of node.widgets ?? []) {
    if (!element?.dataset.ensemble || element.isConnected) continue
    const place = `[data-node-id="${node.id}"] [data-ensemble="${element.dataset.ensemble}"]`
    document.querySelector(place)?.replaceWith(element)
  }
}

/**
 * What a node showed when it last ran.
 * @param {ComfyNode} node
 * @returns {Record<string, any>}
 */
function outputOf(node) {
  // Inside a subgraph, outputs are known by the subgraph's id and the node's.
  const root = !node.graph || node.graph === node.graph.rootGraph
  return app.nodeOutputs?.[root ? String(node.id) : `${node.graph.id}:${node.id}`] ?? {}
}

/**
 * The lines a node said when it last ran.
 * @param {ComfyNode} node
 * @returns {string[]}
 */
export const linesOf = (node) => outputOf(node).text ?? []

/**
 * The joints of the bodies a node showed last, as its input `joints` takes them.
 * @param {ComfyNode} node
 * @returns {string}
 */
export const jointsOf = (node) => outputOf(node).joints?.[0] ?? ''

/** @param {Record<string, string>} image */
const address = ({ filename, subfolder = '', type = 'output' }) =>
  api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`)

/**
 * The address of a picture in the input folder.
 * @param {string} file with its folder
 */
export function inputPicture(file) {
  const parts = file.split(/[\\/]/)
  return address({ filename: parts.pop() ?? '', subfolder: parts.join('/'), type: 'input' })
}

/**
 * Addresses of the pictures that a node showed last.
 * @param {ComfyNode} node
 * @returns {string[]}
 */
export const picturesOf = (node) => (outputOf(node).images ?? []).map(address)
