/** What a recipe names and the machine lacks, each with its ways out. */

import { filesOf, toast, uploadPicture } from './api.js'
import { button, el } from './dom.js'
import { t } from './texts.js'

/** @typedef {{ kind: string, name: string, file: string | null }} Choice null leaves it out */
/** @typedef {{ kind: string, name: string, setting: string, hint: string, nearest: string[] }} Missing */

const PICTURES = 'images'
/** What a recipe can do without; a checkpoint it cannot. */
const OPTIONAL = ['loras', 'embeddings', 'vae', PICTURES]

/**
 * @param {Missing[]} missing
 * @param {(choice: Choice) => void} choose
 * @returns {Node[]}
 */
export function missingList(missing, choose) {
  if (!missing.length) return []
  return [el('p', {}, t('recipe.missing')), el('ul', { class: 'ensemble-missing' }, ...missing.map((each) => item(each, choose)))]
}

/** @param {Missing} missing @param {(choice: Choice) => void} choose */
function item({ kind, name, setting, hint, nearest }, choose) {
  const pick = (/** @type {string | null} */ file) => choose({ kind, name, file })
  const element = el(
    'li',
    { 'data-missing': name },
    el('p', { class: 'ensemble-bad' }, `${setting}: ${hint}`),
    ...nearest.map((file) => button({ class: 'ensemble-fix', onclick: () => pick(file) }, t('people.use', { name: file }))),
  )
  // Of what has no name any file would do: the hint says which to get.
  if (name) element.append(picker(kind, pick))
  if (kind === PICTURES) element.append(upload(pick))
  if (name && OPTIONAL.includes(kind)) element.append(button({ onclick: () => pick(null) }, t('recipe.leaveOut')))
  return element
}

/** @param {string} kind @param {(file: string) => void} pick */
function picker(kind, pick) {
  const list = el('select', { 'aria-label': t('recipe.choose'), onchange: () => list.value && pick(list.value) })
  list.append(el('option', { value: '' }, t('recipe.choose')))
  filesOf(kind).then((files) => list.append(...files.map((file) => el('option', { value: file }, file))))
  return list
}

/** @param {(file: string) => void} pick */
function upload(pick) {
  const field = el('input', { type: 'file', accept: 'image/*', 'aria-label': t('recipe.upload') })
  field.addEventListener('change', async () => {
    const [file] = field.files
    if (!file) return
    try {
      pick(await uploadPicture(file.name, file))
    } catch (error) {
      toast('error', t('recipe.failed'), String(error))
    }
  })
  return field
}
