/**
 * Ensemble in the graph editor: what a prompt means, LoRAs as rows, regions
 * and poses by hand, recipes pasted.
 *
 * One extension, registered here; the modules beside it do nothing until they are called. Nothing
 * of ComfyUI's is patched: nodes get a widget of ours when they are made, and everything else goes
 * through the extension's own hooks.
 */

import { app, onChange, takePlace } from './js/api.js'
import { completeTextOf } from './js/complete_text.js'
import { attachLoraRows } from './js/lora_node.js'
import { attachJoints } from './js/pose_node.js'
import { attachPeople } from './js/prompt_node.js'
import { listenForDrops, recipeCommand, recipeTab } from './js/recipe.js'
import { loadStyle } from './js/dom.js'
import { offerSample } from './js/samples.js'
import { loadTexts } from './js/texts.js'

/** @typedef {import('./js/types.js').ComfyNode} ComfyNode */

/** @type {Record<string, (node: ComfyNode) => () => void>} */
const ATTACH = {
  BreakRegionalPrompt: attachPeople,
  MultiLoraLoader: attachLoraRows,
  PoseControlInput: attachJoints,
}

/** What to call when the graph changed, by node; nodes that are gone are not in it. */
/** @type {Map<ComfyNode, () => void>} */
const refreshers = new Map()

function refreshAll() {
  for (const refresh of refreshers.values()) refresh()
}

await loadTexts()
loadStyle()

app.registerExtension({
  name: 'ensemble.editor',
  commands: [recipeCommand()],
  menuCommands: [{ path: ['Ensemble'], commands: ['Ensemble.PasteRecipe'] }],

  setup() {
    app.extensionManager.registerSidebarTab(recipeTab())
    listenForDrops(app.canvasContainer)
    completeTextOf(app.canvasContainer, Object.keys(ATTACH))
    onChange(refreshAll)
  },

  /** @param {ComfyNode} node */
  nodeCreated(node) {
    const attach = ATTACH[node.comfyClass]
    if (!attach) return
    const refresh = attach(node)
    const { onAdded, onRemoved, onConfigure, onConnectionsChange } = node
    node.onAdded = function (...args) {
      onAdded?.apply(this, args)
      refreshers.set(node, refresh)
      refresh()
    }
    node.onConfigure = function (...args) {
      onConfigure?.apply(this, args)
      refresh()
    }
    node.onConnectionsChange = function (...args) {
      onConnectionsChange?.apply(this, args)
      queueMicrotask(refresh)
    }
    node.onRemoved = function (...args) {
      onRemoved?.apply(this, args)
      refreshers.delete(node)
    }
  },

  afterConfigureGraph() {
    for (const node of refreshers.keys()) takePlace(node)
    refreshAll()
    app.graph.nodes.forEach(offerSample)
  },
})
