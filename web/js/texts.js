/** The words we show, from locales/<language>/main.json. */

import { customTexts, language } from './api.js'

/** @type {Record<string, any>} */
let all = {}

export async function loadTexts() {
  all = await customTexts()
}

/**
 * The text of a key such as `people.missing`, with `{name}` filled in.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function t(key, values = {}) {
  const text = find(all[language()]?.ensemble, key) ?? find(all.en?.ensemble, key) ?? key
  return text.replace(/\{(\w+)\}/g, (/** @type {string} */ whole, /** @type {string} */ name) =>
    name in values ? String(values[name]) : whole,
  )
}

/** @param {number} number 2 -> 2nd */
export function ordinal(number) {
  const form = new Intl.PluralRules(language(), { type: 'ordinal' }).select(number)
  return t(`people.ordinal.${form}`, { number })
}

/** @param {any} texts @param {string} key @returns {string | undefined} */
function find(texts, key) {
  for (const part of key.split('.')) texts = texts?.[part]
  return typeof texts === 'string' ? texts : undefined
}
