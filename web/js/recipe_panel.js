/** A text area for a recipe, what was understood of it, and the way into a graph. */

import { checkpoints, compileRecipe, openWorkflow, refreshChoices, toast, uploadPicture } from './api.js'
import { button, el, keepKeys } from './dom.js'
import { t } from './texts.js'

export function createRecipePanel() {
  const text = el('textarea', { 'aria-label': t('recipe.text'), placeholder: t('recipe.placeholder'), spellcheck: 'false' })
  const checkpoint = el('select', { 'aria-label': t('recipe.checkpoint') }, el('option', { value: '' }, t('recipe.itsOwn')))
  const skip = el('input', { type: 'checkbox' })
  const approximate = el('input', { type: 'checkbox' })
  const read = button({ onclick: () => look() }, t('recipe.read'))
  const insert = button({ disabled: true, onclick: () => open() }, t('recipe.insert'))
  const told = el('div', { class: 'ensemble-told', role: 'status' })
  const root = el(
    'section',
    { class: 'ensemble-recipe', 'aria-label': t('recipe.tab') },
    el('p', { class: 'ensemble-hint' }, t('recipe.about')),
    text,
    el('label', {}, t('recipe.checkpoint'), checkpoint),
    el('label', {}, skip, t('recipe.skip')),
    el('label', {}, approximate, t('recipe.approximate')),
    el('div', { class: 'ensemble-bar' }, read, insert),
    told,
  )
  keepKeys(root)
  checkpoints().then((names) => checkpoint.append(...names.map((name) => el('option', { value: name }, name))))

  /** @type {any} */
  let compiled = null
  let asked = 0
  for (const field of [text, checkpoint, skip, approximate]) field.addEventListener('input', forget)
  text.addEventListener('paste', () => setTimeout(look))

  function forget() {
    asked++
    compiled = null
    insert.disabled = true
    told.replaceChildren()
  }

  async function look() {
    forget()
    const mine = asked
    if (!text.value.trim()) return
    const body = {
      text: text.value,
      workflow: true,
      skip_missing: skip.checked,
      allow_approximate: approximate.checked,
      ...(checkpoint.value ? { checkpoint: checkpoint.value } : {}),
    }
    const { status, answer } = await compileRecipe(body)
    if (mine !== asked) return
    compiled = status === 200 ? answer : null
    insert.disabled = !compiled
    told.replaceChildren(...(compiled ? understood(answer) : refused(answer)), ...repairs(answer))
  }

  /** @param {any} answer with texts that mend what is wrong or seldom meant */
  function repairs(answer) {
    const texts = answer.mended ?? (answer.problems ?? []).map((/** @type {any} */ each) => each.mended).filter(Boolean)
    return texts.map((/** @type {string} */ mended) =>
      button({ class: 'ensemble-fix', title: mended, onclick: () => accept(mended) }, t('people.mend')))
  }

  /** @param {string} mended */
  function accept(mended) {
    text.value = mended
    look()
  }

  async function open() {
    if (!compiled) return
    try {
      const uploads = Object.entries(compiled.uploads)
      for (const [name, data] of uploads) {
        const bytes = Uint8Array.from(atob(String(data)), (c) => c.charCodeAt(0))
        await uploadPicture(name, new Blob([bytes]))
      }
      // Else Load Image calls a picture missing that came after the page.
      if (uploads.length) await refreshChoices()
      await openWorkflow(compiled.workflow, t('recipe.name'))
    } catch (error) {
      toast('error', t('recipe.failed'), String(error))
    }
  }

  return {
    root,

    /** @param {string} recipe put in, if it is not empty, and read */
    focus(recipe) {
      text.focus()
      if (!recipe) return
      text.value = recipe
      look()
    },
  }
}

/** @param {any} answer of the compile route, 200 */
function understood(answer) {
  const { report, warnings, workflow } = answer
  const lines = [
    el('p', {}, t('recipe.understood', { nodes: workflow.nodes.length })),
    ...warnings.map((/** @type {string} */ line) => el('p', { class: 'ensemble-bad' }, line)),
  ]
  const list = el('dl')
  for (const [name, value] of Object.entries(report)) {
    if (value == null || (typeof value === 'object' && !Object.keys(value).length)) continue
    list.append(el('dt', {}, name), el('dd', {}, ...shown(value)))
  }
  return [...lines, list]
}

/** @param {any} value @returns {(Node | string)[]} */
function shown(value) {
  if (Array.isArray(value)) return value.map((each) => el('div', {}, line(each)))
  if (typeof value === 'object') return Object.entries(value).map(([key, each]) => el('div', {}, `${key}: ${line(each)}`))
  return [String(value)]
}

/** @param {any} value */
function line(value) {
  if (value === null || typeof value !== 'object') return String(value)
  return Object.entries(value).map(([key, each]) => `${key} ${typeof each === 'object' ? JSON.stringify(each) : each}`).join(', ')
}

/** @param {any} answer of the compile route, 400 or 422 */
function refused(answer) {
  if (answer.missing) {
    return [
      el('p', {}, t('recipe.missing')),
      ...answer.missing.map((/** @type {any} */ each) => el('p', { class: 'ensemble-bad' }, `${each.setting}: ${each.hint}`)),
    ]
  }
  const problems = answer.problems ?? [{ text: answer.error }]
  return problems.map((/** @type {any} */ each) => el('p', { class: each.severity === 'warning' ? '' : 'ensemble-bad' }, each.text))
}
