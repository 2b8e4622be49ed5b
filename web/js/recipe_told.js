/** What the server understood of a recipe, and what is wrong with it. */

import { el } from './dom.js'
import { tint } from './palette.js'
import { t } from './texts.js'

/** @param {any} answer of the compile route, 200, 400 or 422 @returns {Node[]} */
export function told(answer) {
  const lines = answer.workflow ? [el('p', {}, t('recipe.understood', { nodes: answer.workflow.nodes.length }))] : []
  lines.push(...problems(answer))
  if (answer.understood) lines.push(...understood(answer.understood))
  if (answer.report) lines.push(el('details', {}, el('summary', {}, t('recipe.report')), table(answer.report)))
  return lines
}

/** @param {any} answer @returns {Node[]} */
function problems(answer) {
  const wrong = answer.problems ?? (answer.error ? [{ text: answer.error }] : [])
  return [
    ...wrong.map((/** @type {any} */ { severity, text }) => el('p', { class: severity === 'warning' ? '' : 'ensemble-bad' }, text)),
    ...(answer.warnings ?? []).map((/** @type {string} */ line) => el('p', { class: 'ensemble-warning' }, line)),
  ]
}

/** @param {any} recipe @returns {Node[]} */
function understood({ parts, negative, settings }) {
  let people = 0
  const chips = parts.map((/** @type {any} */ { role, text, loras }) => {
    const person = role === 'person' ? ++people : 0
    const name = person ? t('people.person', { number: person }) : t(`people.${role}`, { people: '' }).trim()
    return el(
      'li',
      { class: 'ensemble-chip', 'data-role': role, style: person ? { '--ensemble-tint': tint(person) } : {} },
      el('div', { class: 'ensemble-chip-text' }, el('b', {}, name), ` ${text || t('people.empty')}`),
      ...loras.map((/** @type {any} */ lora) => el('span', { class: 'ensemble-lora' }, `${lora.name} ${lora.weight}`)),
    )
  })
  const all = negative ? { negative, ...settings } : settings
  return [el('ul', { class: 'ensemble-chips' }, ...chips), ...(Object.keys(all).length ? [table(all)] : [])]
}

/** @param {Record<string, any>} values */
function table(values) {
  const list = el('dl')
  for (const [name, value] of Object.entries(values)) {
    if (value == null || (typeof value === 'object' && !Object.keys(value).length)) continue
    list.append(el('dt', {}, name), el('dd', {}, ...shown(value)))
  }
  return list
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
