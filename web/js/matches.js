/** Names that mean no file or several, and the buttons that write another one. */

import { button } from './dom.js'
import { t } from './texts.js'

/** @typedef {import('./types.js').Match} Match */

/** @param {Match} match */
export const isBad = ({ status }) => status === 'missing' || status === 'ambiguous'

/**
 * A button for each of the nearest names.
 * @param {Match} match
 * @param {string} key begins the keys by which the focus is found again
 * @param {(name: string) => void} use
 * @param {boolean} [disabled]
 */
export const nearestButtons = (match, key, use, disabled = false) =>
  match.nearest.map((name) => {
    const title = t('people.use', { name })
    return button({
      class: 'ensemble-fix', title, 'aria-label': title, 'data-key': `${key}-${name}`, disabled,
      onclick: () => use(name),
    }, name)
  })
