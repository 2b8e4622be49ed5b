/** How a prompt is read, as chips: scene, common, and a chip per person with their LoRAs. */

import { inputPicture } from './api.js'
import { button, el, replace } from './dom.js'
import { isBad, nearestButtons } from './matches.js'
import { tint } from './palette.js'
import { steer } from './steer.js'
import { ordinal, t } from './texts.js'

/** @typedef {import('./types.js').Part} Part */
/** @typedef {import('./types.js').Tag} Tag */
/** @typedef {import('./types.js').Problem} Problem */

/** @typedef {'columns' | 'rows' | 'unknown'} Across how people are put beside each other */

/**
 * @typedef {object} Actions
 * @property {(tag: { name: string, start: number }, name: string) => void} rename write another file into a tag
 * @property {(fix: { at: number, insert: string }) => void} mend put a text in
 * @property {() => void} add a person
 * @property {(part: Part, file: File) => void} portray give a person a picture
 * @property {(tag: Tag, weight: number) => void} weigh
 * @property {(tag: Tag, words: string) => void} say write trigger words behind a tag
 * @property {(person: number) => void} remove
 * @property {(one: number, other: number) => void} exchange two people's places
 * @property {(part: Part) => void} select show where a part is written
 */

/** @param {Actions} actions */
export function createPeoplePanel(actions) {
  const notes = el('div', { class: 'ensemble-notes', role: 'status' })
  const chips = el('ul', { class: 'ensemble-chips', 'aria-label': t('people.title') })
  const warnings = el('div', { class: 'ensemble-notes ensemble-warnings' })
  const root = el('div', { class: 'ensemble-people' }, notes, chips, warnings)

  return {
    root,

    /**
     * @param {import('./types.js').Reading} reading
     * @param {boolean} drawn whether a choice in the text is drawn at each run
     * @param {Across} across
     * @param {string} said of the places of people, where they are not known yet
     * @param {Map<string, string[]>} words trigger words by file
     */
    show(reading, drawn, across, said, words) {
      replace(notes, [...reading.problems, ...reading.warnings].map((problem) => note(problem, actions)))
      // While a tag is being typed it cannot be read: what was last read stays, dimmed.
      const unread = !reading.parts.length && reading.problems.length > 0
      chips.classList.toggle('ensemble-stale', unread)
      if (unread) return
      const parts = reading.has_break ? reading.parts : []
      const people = parts.slice(2).filter((part) => part.number !== null).length
      const placed = parts.filter((part) => part.place !== null).sort((a, b) => Number(a.place) - Number(b.place))
      const line = placed.length ? placed : parts.slice(2).filter((part) => part.number !== null)
      const beside = (/** @type {Part} */ part, /** @type {number} */ by) => line[line.indexOf(part) + by]?.number ?? null
      replace(chips, [
        ...parts.map((part, index) =>
          chip(part, people, across, reading.negative_parts[index], words, (by) => beside(part, by), actions)),
        el('li', { class: 'ensemble-add' }, button({ 'data-key': 'add', onclick: actions.add }, t('people.add'))),
      ])
      const places = reading.added ? t('people.added', { text: reading.added }) : said
      const [scene] = chips.children
      if (people > 0 && places) scene.append(el('em', { class: 'ensemble-hint' }, places))
      if (drawn) chips.append(el('li', { class: 'ensemble-hint' }, t('people.drawn', { choice: '{a|b}' })))
      if (!reading.has_break) chips.append(el('li', { class: 'ensemble-hint' }, t('people.plain')))
      // One BREAK without a LoRA may be meant so; nobody is painted by it, though.
      else if (people === 0 && !reading.problems.length) {
        const fix = { at: parts[1].start, insert: ' BREAK' }
        chips.append(el('li', { class: 'ensemble-hint' }, t('people.nobody'), ' ', mend(fix, actions)))
      }
    },

    /** @param {string[]} lines that the last run said */
    warn(lines) {
      const said = lines.filter((line) => line.startsWith('Warning'))
      replace(warnings, said.map((line) => el('p', {}, t('people.lastRun', { line }))))
    },

    /** @param {string} text shown instead of chips */
    say(text) {
      notes.replaceChildren()
      chips.classList.remove('ensemble-stale')
      chips.replaceChildren(el('li', { class: 'ensemble-hint' }, text))
    },
  }
}

/** @param {Problem} problem @param {Actions} actions */
function note(problem, actions) {
  const line = el('p', { class: 'ensemble-bad' }, problem.message)
  if (problem.fix) line.append(' ', mend(problem.fix, actions))
  return line
}

/** @param {{ at: number, insert: string }} fix @param {Actions} actions */
const mend = (fix, actions) =>
  button({ class: 'ensemble-fix', 'data-key': 'mend', onclick: () => actions.mend(fix) }, t('people.mend'))

/**
 * @param {Part} part
 * @param {number} people
 * @param {Across} across
 * @param {Part | undefined} negative
 * @param {Map<string, string[]>} words
 * @param {(by: number) => number | null} beside the person that many places on
 * @param {Actions} actions
 */
function chip(part, people, across, negative, words, beside, actions) {
  const person = part.number
  const members = part.members ?? []
  const key = person ? `person-${person}` : [part.role, ...members].join('-')
  const name = person ? t('people.person', { number: person }) : t(`people.${part.role}`, { people: members.join('+') })
  const text = part.text || t('people.empty')
  const where = person ? whereabouts(part.place, people, across) : ''
  const head = button(
    {
      class: 'ensemble-chip-head',
      'data-key': key,
      title: `${name}\n${text}`,
      onclick: () => actions.select(part),
    },
    el('b', {}, person ? String(person) : name),
    el('span', { class: part.text ? '' : 'ensemble-hint' }, text),
    el('i', {}, where),
  )
  head.setAttribute('aria-label', `${name}: ${text} ${where}`)
  const item = el(
    'li',
    { class: 'ensemble-chip', style: tinted(person ? [person] : members), 'data-part': key },
    el('div', { class: 'ensemble-chip-line' }, head, ...(person ? handles(person, across, beside, actions) : [])),
    ...part.loras.map((tag, index) => lora(tag, `${key}-${index}`, unsaid(words.get(tag.file), part), actions)),
    ...(part.reference ? [picture(part.reference, `${key}-ref`, actions)] : []),
    ...(negative?.text ? [el('span', { class: 'ensemble-hint ensemble-minus', title: negative.text }, `− ${negative.text}`)] : []),
  )
  if (person) takePictures(item, (file) => actions.portray(part, file))
  return item
}

/**
 * A picture dropped here is not dropped on the editor, which would open it as a node or a workflow.
 * @param {HTMLElement} place
 * @param {(file: File) => void} take
 */
function takePictures(place, take) {
  for (const kind of ['dragover', 'drop'])
    place.addEventListener(kind, (event) => {
      const { dataTransfer } = /** @type {DragEvent} */ (event)
      if (!dataTransfer?.types.includes('Files')) return
      event.preventDefault()
      event.stopPropagation()
      const file = [...dataTransfer.files].find((each) => each.type.startsWith('image/'))
      if (file) take(file)
    })
}

/**
 * A person's picture, small.
 * @param {import('./types.js').Reference} tag @param {string} key @param {Actions} actions
 */
function picture(tag, key, actions) {
  const bad = isBad(tag)
  const pill = el('span', { class: `ensemble-lora${bad ? ' ensemble-bad' : ''}`, title: bad ? tag.message : tag.file })
  if (tag.file) pill.append(el('img', { class: 'ensemble-ref', src: inputPicture(tag.file), alt: tag.name }))
  pill.append(tag.name)
  return bad ? withFixes(pill, tag, key, actions) : pill
}

/**
 * The tag of a file that is not there, with the names to write instead.
 * @param {HTMLElement} pill
 * @param {Tag | import('./types.js').Reference} tag
 * @param {string} key
 * @param {Actions} actions
 */
function withFixes(pill, tag, key, actions) {
  const fixes = nearestButtons(tag, key, (name) => actions.rename(tag, name))
  pill.append(el('em', {}, t(`people.${tag.status}`)), ...fixes)
  return pill
}

/** Of several people together, both ends have a colour. */
/** @param {number[]} people @returns {Record<string, string>} */
function tinted(people) {
  if (!people.length) return {}
  const [first, last] = [tint(people[0]), tint(people[people.length - 1])]
  return { '--ensemble-tint': first, ...(people.length > 1 ? { 'border-right': `3px solid ${last}` } : {}) }
}

/**
 * What moves a person to a neighbour's place, or takes them out.
 * @param {number} person
 * @param {Across} across
 * @param {(by: number) => number | null} beside
 * @param {Actions} actions
 */
function handles(person, across, beside, actions) {
  const signs = across === 'rows' ? ['▲', '▼'] : ['◀', '▶']
  const moves = [-1, 1].map((by, index) => {
    const other = beside(by)
    const title = other ? t('people.exchange', { other }) : ''
    return button({
      class: 'ensemble-handle', 'data-key': `move-${person}-${by}`, title, 'aria-label': title, disabled: !other,
      onclick: () => other && actions.exchange(person, other),
    }, signs[index])
  })
  const title = t('people.remove', { number: person })
  const remove = button({
    class: 'ensemble-handle', 'data-key': `remove-${person}`, title, 'aria-label': title,
    onclick: () => actions.remove(person),
  }, '✕')
  return [...moves, remove]
}

/** The trigger words that a part does not have yet. */
/** @param {string[] | undefined} words @param {Part} part */
const unsaid = (words, { text }) => (words ?? []).filter((word) => !text.toLowerCase().includes(word.toLowerCase())).join(', ')

/** @param {Tag} tag @param {string} key @param {string} words to be offered @param {Actions} actions */
function lora(tag, key, words, actions) {
  const bad = isBad(tag)
  const both = tag.weight === tag.clip_weight
  const label = (/** @type {number} */ weight) => `${tag.name} ${weight}${both ? '' : ` / ${tag.clip_weight}`}`
  const number = el('span', {
    class: 'ensemble-number', role: 'spinbutton', tabindex: 0, 'data-key': `weight-${key}`,
    'aria-label': t('people.weight', { name: tag.name }), 'aria-valuenow': tag.weight,
  }, label(tag.weight))
  const show = (/** @type {number} */ weight) => (number.textContent = label(weight))
  steer(number, tag.weight, show, (weight) => actions.weigh(tag, weight))
  const pill = el(
    'span',
    { class: `ensemble-lora${bad ? ' ensemble-bad' : ''}`, title: bad ? tag.message : tag.file },
    number,
  )
  if (words) {
    const title = t('people.say', { words })
    pill.append(button({ 'data-key': `say-${key}`, title, 'aria-label': title, onclick: () => actions.say(tag, words) }, '+'))
  }
  return bad ? withFixes(pill, tag, key, actions) : pill
}

/**
 * @param {number | null} place from the left or top, from 0
 * @param {number} people
 * @param {Across} across
 */
function whereabouts(place, people, across) {
  if (place === null || people < 2 || across === 'unknown') return ''
  if (place === 0) return t(`people.first.${across}`)
  if (place === people - 1) return t(`people.last.${across}`)
  return people === 3 ? t('people.middle') : t(`people.place.${across}`, { number: ordinal(place + 1) })
}
