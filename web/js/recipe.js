/** Recipes of hosted services: the command, the sidebar's tab, and files dropped on the canvas. */

import { openFile, runCommand } from './api.js'
import { createRecipePanel } from './recipe_panel.js'
import { t } from './texts.js'

const TAB = 'ensemble.recipe'
const LARGEST = 40_000_000

/** What was dropped before the tab was open. */
let waiting = ''
/** @type {ReturnType<typeof createRecipePanel> | null} */
let panel = null

export const recipeCommand = () => ({
  id: 'Ensemble.PasteRecipe',
  label: t('recipe.command'),
  icon: 'pi pi-clipboard',
  function: openTab,
})

export const recipeTab = () => ({
  id: TAB,
  icon: 'pi pi-clipboard',
  title: t('recipe.tab'),
  tooltip: t('recipe.about'),
  type: 'custom',
  /** @param {HTMLElement} container */
  render(container) {
    panel = createRecipePanel()
    container.replaceChildren(panel.root)
    panel.focus(waiting)
    waiting = ''
  },
  destroy() {
    panel = null
  },
})

function openTab() {
  if (panel?.root.isConnected) return panel.focus('')
  return runCommand(`Workspace.ToggleSidebarTab.${TAB}`)
}

/** @param {string} text */
function show(text) {
  if (panel?.root.isConnected) return panel.focus(text)
  waiting = text
  return openTab()
}

/**
 * Text files, and JSON files that are no workflow, are recipes. ComfyUI leaves alone what another
 * listener has taken.
 * @param {HTMLElement} container
 */
export function listenForDrops(container) {
  container.addEventListener('drop', async (event) => {
    const files = [...(event.dataTransfer?.files ?? [])]
    const [file] = files
    if (files.length !== 1 || !/\.(txt|json)$/i.test(file.name) || file.size > LARGEST) return
    event.preventDefault()
    const text = await file.text()
    if (isWorkflow(text)) return openFile(file)
    return show(text)
  })
}

/**
 * A workflow of the editor, or a graph in API format.
 * @param {string} text
 */
function isWorkflow(text) {
  let value
  try {
    value = JSON.parse(text)
  } catch {
    return false
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return false
  const nodes = Object.values(value)
  return (
    Array.isArray(value.nodes) ||
    'templates' in value ||
    (nodes.length > 0 && nodes.every((node) => typeof node?.class_type === 'string'))
  )
}
