/** A list of choices under a text field, moved through by keys: the listbox of a combobox. */

import { el } from './dom.js'
import { t } from './texts.js'

/** @typedef {import('./choices.js').Choice} Choice */

let count = 0

/** @param {HTMLElement} field @param {(choice: Choice) => void} accept */
export function createPopup(field, accept) {
  const id = `ensemble-choices-${++count}`
  const list = el('ul', { class: 'ensemble-choices', role: 'listbox', id, 'aria-label': t('choices.title') })
  /** @type {Choice[]} */
  let shown = []
  let at = 0
  let asked = 0

  field.setAttribute('role', 'combobox')
  field.setAttribute('aria-autocomplete', 'list')
  field.setAttribute('aria-controls', id)
  field.setAttribute('aria-expanded', 'false')

  /** @param {number} index */
  function select(index) {
    list.children[at]?.setAttribute('aria-selected', 'false')
    at = (index + shown.length) % shown.length
    const option = /** @type {HTMLElement} */ (list.children[at])
    option.setAttribute('aria-selected', 'true')
    option.scrollIntoView({ block: 'nearest' })
    field.setAttribute('aria-activedescendant', option.id)
  }

  function hide() {
    asked++
    list.remove()
    shown = []
    field.setAttribute('aria-expanded', 'false')
    field.removeAttribute('aria-activedescendant')
  }

  /**
   * Shows what was asked for, unless the list was hidden or something else asked for by then.
   * @param {Promise<Choice[]>} choices
   */
  async function ask(choices) {
    const mine = ++asked
    const found = await choices
    if (mine === asked) show(found)
  }

  /** @param {Choice[]} choices */
  function show(choices) {
    // By now the field may have lost the focus, or be gone.
    if (!choices.length || document.activeElement !== field) return hide()
    shown = choices
    at = 0
    list.replaceChildren(...choices.map((choice, index) => option(id, choice, index, accept)))
    if (!list.isConnected) {
      document.body.append(list)
      follow()
    }
    field.setAttribute('aria-expanded', 'true')
    select(0)
  }

  /** Keeps an open list at its field; no event tells that a field is moved or taken off the page. */
  function follow() {
    if (!list.isConnected) return
    if (!field.isConnected) return hide()
    place(list, field)
    requestAnimationFrame(follow)
  }

  /** Whether the key was for the list. */
  /** @param {KeyboardEvent} event */
  function key(event) {
    if (event.key === 'Escape') asked++
    if (!shown.length || event.isComposing) return false
    if (event.key === 'ArrowDown') select(at + 1)
    else if (event.key === 'ArrowUp') select(at - 1)
    else if (event.key === 'Enter' || event.key === 'Tab') accept(shown[at])
    else if (event.key === 'Escape') hide()
    else return false
    event.preventDefault()
    event.stopImmediatePropagation()
    return true
  }

  return { ask, hide, key, isOpen: () => shown.length > 0 }
}

/** @param {string} id @param {Choice} choice @param {number} index @param {(choice: Choice) => void} accept */
function option(id, choice, index, accept) {
  const about = [choice.damaged ? t('choices.damaged') : choice.base, choice.triggers]
  return el(
    'li',
    {
      role: 'option',
      id: `${id}-${index}`,
      class: choice.damaged ? 'ensemble-bad' : '',
      title: choice.damaged || choice.file,
      'aria-selected': 'false',
      // Before the field loses the focus.
      onpointerdown: (/** @type {Event} */ event) => {
        event.preventDefault()
        accept(choice)
      },
    },
    ...(choice.preview ? [el('img', { class: 'ensemble-thumbnail', src: choice.preview, alt: '', loading: 'lazy' })] : []),
    el('b', {}, choice.name),
    el('span', {}, about.filter(Boolean).join(' · ')),
  )
}

/**
 * Below the field, or above it where there is more room; on the page, so that zoom leaves it legible.
 * @param {HTMLElement} list
 * @param {HTMLElement} field
 */
function place(list, field) {
  const box = field.getBoundingClientRect()
  const below = window.innerHeight - box.bottom
  const up = below < 240 && box.top > below
  list.style.left = `${Math.max(4, Math.min(box.left, window.innerWidth - 330))}px`
  list.style.minWidth = `${Math.min(Math.max(box.width, 240), 420)}px`
  list.style.top = up ? '' : `${box.bottom + 2}px`
  list.style.bottom = up ? `${window.innerHeight - box.top + 2}px` : ''
  list.style.maxHeight = `${Math.max(120, Math.min(320, (up ? box.top : below) - 12))}px`
}
