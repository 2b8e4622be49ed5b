/** Rows of LoRAs: on or off, strength, order; searched for by name. */

import { choose } from './choices.js'
import { button, el, replace } from './dom.js'
import { isBad, nearestButtons } from './matches.js'
import { createPopup } from './popup.js'
import { recentNames, remember } from './recent.js'
import { steer } from './steer.js'
import { t } from './texts.js'

/** @typedef {import('./types.js').Row} Row */
/** @typedef {{ name: string, strength: number, clip: number, on: boolean }} Entry */

/** A row before the server has told about it. */
/** @type {Row} */
const UNKNOWN = { name: '', strength: 1, clip_strength: 1, status: 'unknown', file: '', nearest: [], message: '' }

/**
 * @param {object} actions
 * @param {(entries: Entry[]) => void} actions.write
 * @param {typeof import('./routes.js').loraList} actions.list
 * @param {(words: string) => void} actions.say trigger words
 */
export function createLoraRows(actions) {
  const notes = el('div', { class: 'ensemble-notes', role: 'status' })
  const rows = el('ol', { class: 'ensemble-rows', 'aria-label': t('rows.title') })
  const search = el('input', { class: 'ensemble-search', 'aria-label': t('rows.search'), placeholder: t('rows.search'), spellcheck: 'false' })
  const all = el('input', { type: 'checkbox', 'aria-label': t('rows.all'), onchange: () => turnAll(all.checked) })
  const bar = el('label', { class: 'ensemble-bar' }, all, t('rows.all'))
  const inner = el('div', {}, notes, bar, rows, search)
  /** @type {Entry[]} */
  let entries = []
  /** @type {Row[]} */
  let known = []
  /** @type {Map<string, import('./types.js').Lora>} */
  let loras = new Map()
  let editable = false
  let dragged = -1
  let painted = ''

  function paint() {
    const look = JSON.stringify([entries, known.map(({ strength, clip_strength, ...row }) => [row, loras.get(row.file)]), editable])
    // A key that is down while its row is made anew would be lost.
    if (look === painted) return
    painted = look
    search.disabled = all.disabled = !editable
    bar.hidden = entries.length < 2
    all.checked = entries.every((entry) => entry.on)
    all.indeterminate = !all.checked && entries.some((entry) => entry.on)
    replace(rows, known.map((row, index) => drawn(row, index, loras.get(row.file))))
  }

  /**
   * Shows what was done at once, so that the next key acts on it, and writes it.
   * @param {Entry[]} next
   */
  function commit(next) {
    const before = new Map(known.map((row) => [row.name, row]))
    entries = next
    known = next.map(({ name, strength }) => ({ ...(before.get(name) ?? UNKNOWN), name, strength }))
    paint()
    actions.write(next)
  }

  const popup = createPopup(search, (choice) => {
    search.value = ''
    popup.hide()
    remember(choice.name)
    commit([...entries, { name: choice.name, strength: 1, clip: 1, on: true }])
  })
  const find = () => popup.ask(actions.list().then((list) => choose(list, search.value, recentNames())))
  search.addEventListener('input', find)
  search.addEventListener('click', find)
  search.addEventListener('blur', popup.hide)
  search.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
    if (!popup.key(event) && event.key === 'ArrowDown') find()
  })

  /** @param {number} index @param {Partial<Entry>} change */
  const change = (index, change) =>
    commit(entries.map((entry, i) => (i === index ? { ...entry, ...change } : entry)))

  /** @param {boolean} on */
  const turnAll = (on) => commit(entries.map((entry) => ({ ...entry, on })))

  /** @param {number} from @param {number} to */
  function move(from, to) {
    if (from < 0 || to < 0 || to >= entries.length || from === to) return
    const moved = [...entries]
    moved.splice(to, 0, ...moved.splice(from, 1))
    commit(moved)
  }

  /** @param {Row} row @param {number} index @param {import('./types.js').Lora | undefined} lora */
  function drawn(row, index, lora) {
    const entry = entries[index]
    const bad = isBad(row)
    const key = (/** @type {string} */ part) => `${part}-${row.name}`
    const one = entry.strength === entry.clip
    const strength = number(key('strength'), t('rows.strength', { name: row.name }), entry.strength, true, (value) => {
      if (Number.isFinite(value)) change(index, { strength: value, clip: one ? value : entry.clip, on: value !== 0 || !entry.on })
    })
    const clip = number(key('clip'), t('rows.clip', { name: row.name }), entry.clip, !one, (value) =>
      change(index, { clip: Number.isFinite(value) ? value : entry.strength }))
    const element = el(
      'li',
      { class: `ensemble-row${entry.on ? '' : ' ensemble-off'}`, 'data-row': index },
      grip(key('grip'), index),
      el('input', {
        type: 'checkbox', 'data-key': key('on'), 'aria-label': t('rows.on', { name: row.name }),
        checked: entry.on, disabled: !editable, onchange: () => change(index, { on: !entry.on }),
      }),
      el('span', { class: `ensemble-name${bad ? ' ensemble-bad' : ''}`, title: bad ? row.message : row.file }, row.name),
      strength,
      clip,
      button({
        'data-key': key('remove'), title: t('rows.remove', { name: row.name }), 'aria-label': t('rows.remove', { name: row.name }),
        disabled: !editable, onclick: () => commit(entries.filter((_, i) => i !== index)),
      }, '✕'),
      about(row, index, lora),
    )
    /** @param {string} type of the event @param {() => void} act where a row of ours is dragged */
    const onRow = (type, act) =>
      element.addEventListener(type, (/** @type {DragEvent} */ event) => {
        if (dragged < 0) return
        event.preventDefault()
        event.stopPropagation()
        act()
      })
    onRow('dragover', () => element.classList.add('ensemble-over'))
    onRow('drop', () => {
      move(dragged, index)
      dragged = -1
    })
    element.addEventListener('dragleave', () => element.classList.remove('ensemble-over'))
    return element
  }

  /**
   * @param {string} key
   * @param {string} label
   * @param {number} value
   * @param {boolean} own whether it has a value of its own, which is shown
   * @param {(value: number) => void} save NaN where the field was emptied
   */
  function number(key, label, value, own, save) {
    const field = el('input', {
      type: 'number', step: '0.05', value: own ? String(value) : '', placeholder: 'CLIP', 'data-key': key,
      'aria-label': label, title: label, disabled: !editable,
      // The row is made anew: Tab, which brings the change, must first have found the next field.
      onchange: () => setTimeout(() => save(field.valueAsNumber)),
    })
    if (editable) steer(field, value, (now) => (field.value = String(now)), save)
    return field
  }

  /**
   * What a row is moved by: the mouse, or the arrow keys.
   * @param {string} key
   * @param {number} index
   */
  function grip(key, index) {
    return button({
      class: 'ensemble-grip', draggable: editable ? 'true' : 'false', disabled: !editable,
      'data-key': key, title: t('rows.grip'), 'aria-label': t('rows.grip'),
      ondragstart: (/** @type {DragEvent} */ event) => {
        dragged = index
        event.dataTransfer?.setData('text/x-ensemble-row', String(index))
      },
      ondragend: () => (dragged = -1),
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        const by = { ArrowUp: -1, ArrowDown: 1 }[event.key]
        if (!by) return
        event.preventDefault()
        move(index, index + by)
      },
    }, '⠿')
  }

  /** @param {Row} row @param {number} index @param {import('./types.js').Lora | undefined} lora */
  function about(row, index, lora) {
    if (isBad(row)) {
      const names = nearestButtons(row, 'fix', (name) => change(index, { name }), !editable)
      return el('span', { class: 'ensemble-about' }, `${t(`people.${row.status}`)} `, ...names)
    }
    // An id, or a name without its folder, does not say which file it is.
    const file = lora && lora.name !== row.name ? row.file : ''
    const words = lora?.triggers.join(', ') ?? ''
    const about = el('span', { class: 'ensemble-about' }, [file, lora?.base_model].filter(Boolean).join(' · '))
    if (words) {
      about.append(button({
        class: 'ensemble-words', 'data-key': `words-${row.name}`, title: t('rows.say', { words }), onclick: () => actions.say(words),
      }, words))
    }
    if (lora?.preview) about.prepend(el('img', { class: 'ensemble-thumbnail', src: lora.preview, alt: '', loading: 'lazy' }))
    return about
  }

  return {
    element: inner,

    /**
     * @param {import('./types.js').StackReading} reading
     * @param {(row: Row) => Entry} entryOf
     * @param {boolean} mayEdit
     * @param {Map<string, import('./types.js').Lora>} byFile
     */
    show(reading, entryOf, mayEdit, byFile) {
      const tags = reading.tags.filter(isBad)
      replace(notes, [
        ...[...reading.problems, ...tags].map(({ message }) => el('p', { class: 'ensemble-bad' }, message)),
        ...reading.warnings.map(({ message }) => el('p', { class: 'ensemble-warning' }, message)),
      ])
      entries = reading.rows.map(entryOf)
      known = reading.rows
      loras = byFile
      editable = mayEdit
      paint()
    },

    /** @param {string} text */
    say(text) {
      notes.replaceChildren(el('p', { class: 'ensemble-hint' }, text))
      rows.replaceChildren()
      painted = ''
      search.disabled = true
    },
  }
}
