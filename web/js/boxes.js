/** A region per person, dragged, drawn or moved by keys over a picture; written as JSON in parts of it. */

import { backdrop, button, el, replace, svg } from './dom.js'
import { tint } from './palette.js'
import { moved, outlined, raised, readRegions, sideBySide, snapped, thinned, writeRegions } from './regions.js'
import { ARROWS, createDrag, createStage, hold, place } from './stage.js'
import { t } from './texts.js'

/** @typedef {import('./types.js').Box} Box */
/** @typedef {import('./regions.js').Region} Region */

const STEP = 0.02
const KINDS = /** @type {const} */ (['box', 'ellipse', 'lasso'])
/** Which of x, y, width, height a handle moves: 1 with the pointer, -1 against it. */
/** @type {Record<string, [number, number, number, number]>} */
const HANDLES = { nw: [1, 1, -1, -1], ne: [0, 1, 1, -1], sw: [1, 0, -1, 1], se: [0, 0, 1, 1] }

/** @param {(value: string) => void} write what was drawn, into the input `boxes` */
export function createBoxes(write) {
  const { stage, bar, root } = createStage('ensemble-boxes', t('boxes.title'))
  const drag = createDrag(stage)
  /** @type {Region[]} */
  let regions = []
  /** @type {number | null} */
  let people = null
  /** The region of the chip or box that was clicked last. */
  let chosen = -1
  /** Whether the next line drawn on the stage is the chosen one's outline. */
  let drawing = false

  function paint() {
    root.hidden = !people
    stage.hidden = !regions.length
    replace(stage, regions.map((region, index) => drawn(region, index)))
    paintBar()
  }

  /** All but the regions: these may be held while the bar changes. */
  function paintBar() {
    stage.classList.toggle('ensemble-drawing', drawing)
    Array.from(stage.children).forEach((element, index) => element.classList.toggle('ensemble-chosen', index === chosen))
    const start = () => save(sideBySide(people ?? 0))
    const clear = () => save([])
    const fit = () => save([...regions, ...sideBySide(people ?? 0).slice(regions.length)].slice(0, people ?? 0))
    const other = regions.length > 0 && regions.length !== people
    const hint = !regions.length ? 'about' : drawing ? 'outline' : 'keys'
    replace(bar, [
      regions.length
        ? button({ 'data-key': 'boxes', onclick: clear }, t('boxes.clear'))
        : button({ 'data-key': 'boxes', onclick: start }, t('boxes.draw')),
      ...(other ? [button({ 'data-key': 'fit', onclick: fit }, t('boxes.fit', { number: people ?? 0 }))] : []),
      ...(regions[chosen] ? shaping() : []),
      el('span', { class: 'ensemble-hint' }, t(`boxes.${hint}`)),
    ])
  }

  /** What changes the chosen region. */
  function shaping() {
    const { kind } = regions[chosen]
    const number = chosen + 1
    const select = el('select', {
      'data-key': 'shape', 'aria-label': t('boxes.shape', { number }),
      onchange: () => shape(/** @type {typeof kind} */ (/** @type {HTMLSelectElement} */ (select).value)),
    }, ...KINDS.map((each) => el('option', { value: each, selected: each === (drawing ? 'lasso' : kind) }, t(`boxes.kind.${each}`))))
    const front = regions.every(({ front }, i) => i === chosen || front < regions[chosen].front)
    const lift = () => save(raised(regions, chosen))
    return [
      select,
      button({ 'data-key': 'front', 'aria-pressed': String(front), onclick: lift }, t('boxes.front', { number })),
    ]
  }

  /** @param {Region['kind']} kind */
  function shape(kind) {
    drawing = kind === 'lasso'
    if (drawing) return paintBar()
    save(changed(chosen, { ...regions[chosen], kind, points: [] }))
  }

  /** @param {Region[]} value */
  function save(value) {
    regions = value
    drawing = false
    paint()
    write(writeRegions(value))
  }

  /** @param {number} index @param {Region} region */
  const changed = (index, region) => regions.map((each, i) => (i === index ? region : each))

  /** @param {Region} region @param {number} index */
  function drawn({ kind, box, front, points }, index) {
    const where = box.map((v) => `${Math.round(v * 100)} %`).join(', ')
    const corners = points.map((point) => point.join(',')).join(' ')
    const inside = kind === 'lasso'
      ? [svg('svg', { viewBox: '0 0 1 1', preserveAspectRatio: 'none' }, svg('polygon', { points: corners }))]
      : []
    const element = el('div', {
      class: 'ensemble-box',
      role: 'button',
      tabindex: 0,
      'data-key': `box-${index}`,
      'data-kind': kind,
      'aria-label': t('boxes.box', { number: index + 1, where }),
      style: { '--ensemble-tint': tint(index + 1), ...(front ? { 'z-index': String(front) } : {}) },
      onpointerdown: (/** @type {PointerEvent} */ event) => grab(event, element, index),
      onkeydown: (/** @type {KeyboardEvent} */ event) => key(event, index),
      onfocus: () => choose(index),
    }, ...inside, el('b', {}, String(index + 1)), ...Object.keys(HANDLES).map((name) => el('i', { 'data-handle': name })))
    lay(element, box)
    return element
  }

  /** @param {PointerEvent} event @param {HTMLElement} element @param {number} index */
  function grab(event, element, index) {
    if (drawing) return
    const handle = HANDLES[/** @type {HTMLElement} */ (event.target).dataset.handle ?? ''] ?? [1, 1, 0, 0]
    const before = regions[index].box
    const move = (/** @type {number} */ dx, /** @type {number} */ dy, /** @type {PointerEvent} */ { altKey }) => {
      const to = moved(before, handle, dx, dy)
      const now = altKey ? to : snapped(to, handle)
      lay(element, now)
      return now
    }
    drag.start(event, element, before, move, (now) => save(changed(index, { ...regions[index], box: now })))
  }

  /** The chosen region's outline, from here to where the pointer is let go. */
  stage.addEventListener('pointerdown', (/** @type {PointerEvent} */ event) => {
    if (!drawing || event.button !== 0) return
    const area = stage.getBoundingClientRect()
    const line = svg('polyline', {})
    stage.append(svg('svg', { viewBox: '0 0 1 1', preserveAspectRatio: 'none', class: 'ensemble-line' }, line))
    const begin = /** @type {[number, number]} */ ([
      (event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height,
    ])
    /** @type {[number, number][]} */
    const path = [begin]
    const move = (/** @type {number} */ dx, /** @type {number} */ dy) => {
      path.push([hold(begin[0] + dx, 0, 1), hold(begin[1] + dy, 0, 1)])
      line.setAttribute('points', path.map((point) => point.join(',')).join(' '))
      return path.slice()
    }
    const keep = (/** @type {[number, number][]} */ points) => {
      const few = thinned(points)
      const region = few.length > 2 ? outlined(few, regions[chosen].front) : regions[chosen]
      save(changed(chosen, region))
    }
    drag.start(event, stage, path, move, keep)
  })

  /** @param {KeyboardEvent} event @param {number} index */
  function key(event, index) {
    const arrow = ARROWS[event.key]
    if (!arrow) return
    event.preventDefault()
    const handle = event.shiftKey ? HANDLES.se : /** @type {[number, number, number, number]} */ ([1, 1, 0, 0])
    const box = moved(regions[index].box, handle, arrow[0] * STEP, arrow[1] * STEP)
    save(changed(index, { ...regions[index], box }))
  }

  /** @param {number} index of the region that is to be seen; -1 for none */
  function choose(index) {
    if (index === chosen) return
    chosen = index
    drawing = false
    paintBar()
  }

  paint()
  return {
    root,
    choose,

    /**
     * @param {number | null} count null where it is not known
     * @param {string} value of the input `boxes`
     */
    setPeople(count, value) {
      if (drag.isHeld()) return
      people = count
      regions = readRegions(value)
      paint()
    },

    /**
     * @param {string} address empty for none
     * @param {string} shape of the picture to be, `width / height`; empty where it is not known
     */
    setPicture(address, shape) {
      backdrop(stage, address)
      if (!address) stage.style.aspectRatio = shape
    },
  }
}

/** @param {HTMLElement} element @param {Box} box */
const lay = (element, [left, top, width, height]) => place(element, { left, top, width, height })
