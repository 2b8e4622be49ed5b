/** The joints of bodies, dragged or moved by keys over a picture; JSON in parts of it. */

import { completed, turned, withBodies } from './body_edit.js'
import { backdrop, button, el, replace, svg } from './dom.js'
import { tint } from './palette.js'
import { ARROWS, createDrag, createStage, hold, place, readList, round } from './stage.js'
import { t } from './texts.js'

/** @typedef {import('./types.js').Body} Body */

/** BODY_18, as in ensemble/pose/skeleton.py; a name is also the key of its text. */
export const JOINTS = [
  'nose', 'neck', 'rightShoulder', 'rightElbow', 'rightWrist', 'leftShoulder', 'leftElbow',
  'leftWrist', 'rightHip', 'rightKnee', 'rightAnkle', 'leftHip', 'leftKnee', 'leftAnkle',
  'rightEye', 'leftEye', 'rightEar', 'leftEar',
]
/** @type {[number, number][]} */
export const LIMBS = [
  [1, 2], [1, 5], [2, 3], [3, 4], [5, 6], [6, 7], [1, 8], [8, 9], [9, 10], [1, 11], [11, 12],
  [12, 13], [1, 0], [0, 14], [14, 16], [0, 15], [15, 17],
]
const STEP = 0.01
/** As far outside the picture as the node takes joints, in pictures. */
const FAR = 2
const REMOVE = ['Delete', 'Backspace']

/** The colours of pose maps (ensemble/pose/draw.py): limbs are darker than joints. */
/** @param {number} joint */
const jointColour = (joint) => `hsl(${joint * 20} 100% 50%)`
/** @param {number} limb */
const limbColour = (limb) => `hsl(${limb * 20} 100% 30%)`

/** A pose that stands first where poses are offered, and from which missing joints are taken. */
const WHOLE = 'standing'

/**
 * @param {(value: string) => void} write what was moved, into the input `joints`
 * @param {() => Promise<Record<string, Body[]>>} poses to begin with, by name, for the node's size
 */
export function createJoints(write, poses) {
  const { stage, bar, root } = createStage('ensemble-bodies', t('joints.title'))
  const drag = createDrag(stage)
  /** @type {Body[]} */
  let bodies = []
  /** What the node showed last: where moving starts. */
  let start = ''
  let written = ''
  /** The body whose joint was touched last. */
  let chosen = 0
  /** @type {Record<string, Body[]>} */
  let known = {}
  /** Puts what is drawn where the bodies have it. */
  /** @type {(bodies: Body[]) => void} */
  let lay = () => {}

  function paint() {
    paintBar()
    stage.hidden = !bodies.length
    const lines = bodies.flatMap((body, number) => linesOf(body, number))
    const dots = bodies.flatMap((body, number) => dotsOf(body, number))
    const drawing = svg('svg', { viewBox: '0 0 1 1', preserveAspectRatio: 'none' }, ...lines.map((l) => l.element))
    replace(stage, [drawing, ...dots.map((dot) => dot.element)])
    lay = (now) => {
      for (const { element, number, ends } of lines) {
        const [a, b] = ends.map((joint) => now[number][joint])
        const names = /** @type {const} */ (['x1', 'y1', 'x2', 'y2'])
        if (a && b) [...a, ...b].forEach((value, i) => element.setAttribute(names[i], String(value)))
      }
      for (const { element, number, joint } of dots) {
        const [left, top] = now[number][joint] ?? [0, 0]
        place(element, { left, top })
      }
    }
    lay(bodies)
  }

  /** All but the bodies: these may be held while the bar changes. */
  function paintBar() {
    const moving = bodies.length > 0
    const begin = () => save(readBodies(start))
    const ready = readBodies(start).length > 0
    const hint = moving ? 'keys' : written ? 'broken' : ready ? 'about' : 'none'
    replace(bar, [
      moving || written
        ? button({ 'data-key': 'joints', onclick: () => save([]) }, t('joints.clear'))
        : button({ 'data-key': 'joints', onclick: begin, disabled: !ready }, t('joints.move')),
      ...(written && !moving ? [] : [adder()]),
      ...(bodies[chosen] ? changers() : []),
      el('span', { class: 'ensemble-hint' }, t(`joints.${hint}`)),
    ])
  }

  /** A list of poses, of which one is added. */
  function adder() {
    const names = Object.keys(known)
    const select = el('select', {
      'data-key': 'pose', 'aria-label': t('joints.add'), onfocus: () => void learn(),
      onchange: () => {
        const pose = known[/** @type {HTMLSelectElement} */ (select).value]
        if (pose) save(withBodies(bodies, pose))
      },
    }, el('option', { value: '' }, t('joints.add')), ...names.map((name) =>
      el('option', { value: name }, t(`joints.poses.${name.replaceAll(' ', '_')}`))))
    return select
  }

  /** The poses for the size that the node has now. */
  async function learn() {
    const before = JSON.stringify(known)
    known = await poses().catch(() => known)
    if (JSON.stringify(known) !== before) paintBar()
  }

  /** What changes the chosen body as a whole. */
  function changers() {
    const number = chosen + 1
    const whole = async () => {
      await learn()
      const [body] = known[WHOLE] ?? []
      if (body) save(completed(bodies, chosen, body))
    }
    const change = (/** @type {string} */ name, /** @type {() => void} */ onclick) =>
      button({ 'data-key': name, onclick }, t(`joints.body.${name}`, { number }))
    return [
      change('turn', () => save(turned(bodies, chosen))),
      ...(bodies[chosen].every(Boolean) ? [] : [change('complete', () => void whole())]),
      change('remove', () => save(bodies.filter((_, i) => i !== chosen))),
    ]
  }

  /** @param {Body[]} value */
  function save(value) {
    bodies = value
    chosen = Math.min(chosen, Math.max(0, value.length - 1))
    written = value.length ? JSON.stringify(value) : ''
    paint()
    write(written)
  }

  /** @param {Body} body @param {number} number */
  function linesOf(body, number) {
    const seen = LIMBS.map((ends, limb) => ({ ends, limb })).filter(({ ends }) => ends.every((joint) => body[joint]))
    // Under the limbs a broad line each in the colour of the person.
    const under = seen.map(({ ends }) => line(ends, number, tint(number + 1), 7))
    return [...under, ...seen.map(({ ends, limb }) => line(ends, number, limbColour(limb), 3))]
  }

  /**
   * Joints in the picture; those outside stay where they are.
   * @param {Body} body
   * @param {number} number
   */
  function dotsOf(body, number) {
    return body.flatMap((xy, joint) => {
      if (!xy || xy.some((v) => v < 0 || v > 1)) return []
      const element = el('div', {
        class: 'ensemble-joint',
        role: 'button',
        tabindex: 0,
        'data-key': `joint-${number}-${joint}`,
        'aria-label': nameOf(xy, number, joint),
        title: nameOf(xy, number, joint),
        style: { '--ensemble-tint': tint(number + 1), 'background-color': jointColour(joint) },
        onfocus: () => choose(number),
        onpointerdown: (/** @type {PointerEvent} */ event) => grab(event, element, number, joint),
        onkeydown: (/** @type {KeyboardEvent} */ event) => key(event, element, number, joint),
      })
      return [{ element, number, joint }]
    })
  }

  /** @param {number} number */
  function choose(number) {
    if (number === chosen) return
    chosen = number
    paintBar()
  }

  /** @param {PointerEvent} event @param {HTMLElement} element @param {number} number @param {number} joint */
  function grab(event, element, number, joint) {
    const before = bodies
    const move = (/** @type {number} */ dx, /** @type {number} */ dy, /** @type {PointerEvent} */ { shiftKey }) => {
      const now = movedJoint(before, number, joint, dx, dy, shiftKey)
      lay(now)
      return now
    }
    drag.start(event, element, before, move, save)
  }

  /** @param {KeyboardEvent} event @param {HTMLElement} element @param {number} number @param {number} joint */
  function key(event, element, number, joint) {
    const arrow = ARROWS[event.key]
    if (!arrow && !REMOVE.includes(event.key)) return
    event.preventDefault()
    if (arrow) return save(movedJoint(bodies, number, joint, arrow[0] * STEP, arrow[1] * STEP, event.shiftKey))
    // The focus goes on to a neighbour; on the page, the next Delete would remove the node.
    const next = element.nextElementSibling ?? element.previousElementSibling
    if (next instanceof HTMLElement) next.focus({ preventScroll: true })
    save(withoutJoint(bodies, number, joint))
    if (!bodies.length) bar.querySelector('button')?.focus()
  }

  paint()
  void learn()
  return {
    root,

    /**
     * @param {string} value of the input `joints`
     * @param {string} shown the bodies that the node showed last, in the same form
     */
    show(value, shown) {
      if (drag.isHeld() || (value === written && shown === start)) return
      bodies = readBodies(value)
      written = value
      start = shown
      paint()
    },

    /** @param {string} hint instead of anything to move */
    say(hint) {
      bodies = []
      written = hint
      paint()
      replace(bar, [el('span', { class: 'ensemble-hint' }, hint)])
    },

    /**
     * @param {string} address
     * @param {string} shape of the map until there is a picture
     */
    setPicture(address, shape) {
      if (!address && shape) stage.style.aspectRatio = shape
      backdrop(stage, address)
    },
  }
}

/** @param {[number, number]} ends @param {number} number @param {string} stroke @param {number} width */
const line = (ends, number, stroke, width) => ({
  ends,
  number,
  element: svg('line', { stroke, 'stroke-width': width }),
})

/**
 * @param {[number, number]} xy
 * @param {number} number of the body, from 0
 * @param {number} joint
 */
const nameOf = ([x, y], number, joint) =>
  t('joints.joint', {
    joint: t(`joints.${JOINTS[joint]}`),
    number: number + 1,
    x: Math.round(x * 100),
    y: Math.round(y * 100),
  })

/** @param {string} value @returns {Body[]} */
export const readBodies = (value) => readList(value, isBody)

/** @param {any} body */
const isBody = (body) =>
  body.length === JOINTS.length &&
  body.every((/** @type {any} */ xy) => xy === null || (xy.length === 2 && xy.every(Number.isFinite)))

/**
 * The bodies with one joint moved by parts of the picture and kept inside it, or with it all of its
 * body.
 * @param {Body[]} bodies
 * @param {number} number
 * @param {number} joint
 * @param {number} dx
 * @param {number} dy
 * @param {boolean} whole
 * @returns {Body[]}
 */
export function movedJoint(bodies, number, joint, dx, dy, whole) {
  const [x, y] = bodies[number][joint] ?? [0, 0]
  const by = [hold(x + dx, 0, 1) - x, hold(y + dy, 0, 1) - y]
  const moved = bodies[number].map((xy, i) => {
    if (!xy || !(whole || i === joint)) return xy
    const [left, top] = xy.map((v, axis) => round(hold(v + by[axis], -FAR, 1 + FAR)))
    return /** @type {[number, number]} */ ([left, top])
  })
  return bodies.map((body, i) => (i === number ? moved : body))
}

/**
 * The bodies without a joint, and without the body where that was its last.
 * @param {Body[]} bodies
 * @param {number} number
 * @param {number} joint
 * @returns {Body[]}
 */
export function withoutJoint(bodies, number, joint) {
  const left = bodies.map((body, i) => (i === number ? body.map((xy, j) => (j === joint ? null : xy)) : body))
  return left.filter((body) => body.some(Boolean))
}
