/** A text area for a recipe, what was understood of it, and the way into a graph. */

import { checkpoints, openWorkflow, refreshChoices, toast, uploadPicture } from './api.js'
import { button, el, keepKeys } from './dom.js'
import { missingList } from './recipe_missing.js'
import { told } from './recipe_told.js'
import { compileRecipe } from './routes.js'
import { t } from './texts.js'

/** Milliseconds after the last key. */
const PAUSE = 400

/** @typedef {import('./recipe_missing.js').Choice} Choice */
/** What was typed and chosen: it stays when the sidebar closes. */
const kept = { text: '', checkpoint: '', skip: false, approximate: false, choices: /** @type {Choice[]} */ ([]) }

export function createRecipePanel() {
  const text = el('textarea', { 'aria-label': t('recipe.text'), placeholder: t('recipe.placeholder'), spellcheck: 'false' })
  // Disabled until its choices are there: what was chosen before would overrule an earlier choice.
  const checkpoint = el('select', { 'aria-label': t('recipe.checkpoint'), disabled: true }, el('option', { value: '' }, t('recipe.itsOwn')))
  const skip = el('input', { type: 'checkbox', checked: kept.skip })
  const approximate = el('input', { type: 'checkbox', checked: kept.approximate })
  const read = button({ onclick: () => look() }, t('recipe.read'))
  const insert = button({ onclick: () => open() }, t('recipe.insert'))
  const why = el('span', { class: 'ensemble-hint' })
  const answers = el('div', { class: 'ensemble-told', role: 'status' })
  const root = el(
    'section',
    { class: 'ensemble-recipe', 'aria-label': t('recipe.tab') },
    el('p', { class: 'ensemble-hint' }, t('recipe.about')),
    text,
    el('label', {}, t('recipe.checkpoint'), checkpoint),
    el('label', {}, skip, t('recipe.skip')),
    el('label', {}, approximate, t('recipe.approximate')),
    el('div', { class: 'ensemble-bar' }, read, insert, why),
    answers,
  )
  keepKeys(root)
  text.value = kept.text
  checkpoints().then((names) => {
    checkpoint.append(...names.map((name) => el('option', { value: name }, name)))
    checkpoint.value = kept.checkpoint
    checkpoint.disabled = false
  })

  /** @type {any} */
  let compiled = null
  let asked = 0
  let timer = 0
  text.addEventListener('input', () => {
    kept.choices = []
    forget()
    timer = setTimeout(look, PAUSE)
  })
  for (const field of [checkpoint, skip, approximate]) field.addEventListener('change', () => look())
  forget()
  if (kept.text) look()

  function forget() {
    clearTimeout(timer)
    asked++
    Object.assign(kept, { text: text.value, skip: skip.checked, approximate: approximate.checked })
    show(null, [], text.value.trim() ? '' : t('recipe.empty'))
  }

  /**
   * @param {any} answer that can be opened, or null
   * @param {Node[]} lines
   * @param {string} reason why it cannot be opened
   */
  function show(answer, lines, reason) {
    compiled = answer
    insert.disabled = !answer
    insert.title = why.textContent = answer ? '' : reason
    answers.replaceChildren(...lines)
  }

  async function look() {
    forget()
    const mine = asked
    if (!text.value.trim()) return
    if (!checkpoint.disabled) kept.checkpoint = checkpoint.value
    const body = {
      text: text.value,
      workflow: true,
      skip_missing: skip.checked,
      allow_approximate: approximate.checked,
      choices: kept.choices,
      ...(kept.checkpoint ? { checkpoint: kept.checkpoint } : {}),
    }
    const { status, answer } = await compileRecipe(body)
    if (mine !== asked) return
    const good = status === 200
    const reason = good ? '' : answer.missing ? t('recipe.lacks') : t('recipe.wrong')
    const lines = [...told(answer), ...missingList(answer.missing ?? [], choose), ...repairs(answer)]
    show(good ? answer : null, lines, reason)
  }

  /** @param {Choice} choice */
  function choose(choice) {
    kept.choices = [...kept.choices, choice]
    look()
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
      kept.choices = []
      look()
    },
  }
}
