/**
 * Ensemble in the graph editor: what a prompt means, LoRAs as rows, regions
 * and poses by hand, recipes pasted.
 *
 * One extension, registered here; the modules beside it do nothing until they are called. Nothing
 * of ComfyUI's is patched: nodes get a widget of ours when they are made, and everything else goes
 * through the extension's own hooks.
 */

import { app, onChange, takePlace } from './js/api.js'
import { CAST_PANEL } from './js/cast_node.js'
import { completeTextOf } from './js/complete_text.js'
import { ROWS_PANEL } from './js/lora_node.js'
import { addPanel, nodesWithPanels, refreshAll } from './js/panel.js'
import { JOINTS_PANEL } from './js/pose_node.js'
import { PEOPLE_PANEL } from './js/prompt_node.js'
import { listenForDrops, recipeCommand, recipeTab } from './js/recipe.js'
import { loadStyle } from './js/dom.js'
import { offerSample } from './js/samples.js'
import { loadRecent } from './js/recent.js'
import { loadTexts } from './js/texts.js'

/** @typedef {import('./js/types.js').ComfyNode} ComfyNode */

/** @type {Record<string, import('./js/panel.js').Panel>} */
const PANELS = {
  BreakRegionalPrompt: PEOPLE_PANEL,
  EnsembleCast: CAST_PANEL,
  MultiLoraLoader: ROWS_PANEL,
  PoseControlInput: JOINTS_PANEL,
}

await Promise.all([loadTexts(), loadRecent()])
loadStyle()

app.registerExtension({
  name: 'ensemble.editor',
  commands: [recipeCommand()],
  menuCommands: [{ path: ['Ensemble'], commands: ['Ensemble.PasteRecipe'] }],

  setup() {
    app.extensionManager.registerSidebarTab(recipeTab())
    listenForDrops(app.canvasContainer)
    completeTextOf(app.canvasContainer, Object.keys(PANELS))
    onChange(refreshAll)
  },

  /** @param {ComfyNode} node */
  nodeCreated(node) {
    const panel = PANELS[node.comfyClass]
    if (panel) addPanel(node, panel)
  },

  afterConfigureGraph() {
    for (const node of nodesWithPanels()) takePlace(node)
    refreshAll()
    app.graph.nodes.forEach(offerSample)
  },
})
