/** BreakRegionalPrompt in the editor: its text read live, and its people's boxes. */

import { asOneStep, linesOf, picturesOf, toast, uploadPicture, widgetOf, writeWidget } from './api.js'
import { createBoxes } from './boxes.js'
import { createAsker, createListener, titleOf } from './panel.js'
import { exchanged, piecesOf, withPerson, withoutPerson } from './people_edit.js'
import { createPeoplePanel } from './people_panel.js'
import { readRows } from './regions.js'
import { loraList, readPrompt } from './routes.js'
import { followers, originOf, sentText, sourceOf } from './source.js'
import { t } from './texts.js'

/** @typedef {import('./types.js').ComfyNode} ComfyNode */

/** Inputs that the reading depends on. */
const READ = ['text', 'negative', 'weights', 'order', 'boxes']
/** Inputs that change what is shown besides. */
const SHOWN = ['layout', 'place_words']

/** @type {import('./panel.js').Panel} */
export const PEOPLE_PANEL = { name: 'ensemble_people', title: () => t('people.title'), lowest: 40, attach }

/** @type {import('./panel.js').Panel['attach']} */
function attach(node, root, gone) {
  let text = ''
  /** @type {import('./types.js').Reading | null} */
  let known = null
  let show = () => {}
  const panel = createPeoplePanel({
    rename(tag, name) {
      const at = text.indexOf(tag.name, tag.start)
      write(text.slice(0, at) + name + text.slice(at + tag.name.length))
    },
    weigh(tag, weight) {
      const clip = tag.weight === tag.clip_weight ? '' : `:${tag.clip_weight}`
      const now = `<lora:${tag.name}:${weight}${clip}>`
      const next = text.slice(0, tag.start) + now + text.slice(tag.end)
      if (!write(next) || !known) return
      // The next key comes before the answer to this one.
      moveRanges(known, tag, now.length - (tag.end - tag.start))
      Object.assign(tag, { weight, clip_weight: clip ? tag.clip_weight : weight })
      text = next
      show()
    },
    async portray(part, file) {
      const asked = text
      try {
        const tag = `<ref:${await uploadPicture(file.name, file, false)}>`
        // Typed meanwhile, so that the part may stand elsewhere.
        if (text !== asked) return toast('warn', t('people.unwritten'), tag)
        const end = part.start + text.slice(part.start, part.end).trimEnd().length
        const { start, end: stop } = part.reference ?? { start: end, end }
        write(`${text.slice(0, start)}${part.reference ? '' : ' '}${tag}${text.slice(stop)}`)
      } catch (error) {
        toast('error', t('people.portrayed'), String(error))
      }
    },
    say: (tag, words) => write(`${text.slice(0, tag.end)} ${words}${text.slice(tag.end)}`),
    mend: ({ at, insert }) => write(text.slice(0, at) + insert + text.slice(at)),
    add: () => edit((inputs, pieces) => withPerson(inputs, pieces, t('people.new'))),
    remove: (person) => edit((inputs, pieces, negatives) => withoutPerson(inputs, pieces, negatives, person)),
    exchange: (one, other) => edit((inputs, pieces, negatives) => exchanged(inputs, pieces, negatives, one, other)),
    select(part) {
      boxes.choose((part.number ?? 0) - 1)
      const field = fieldOf(node, root)
      field?.focus()
      field?.setSelectionRange(part.start, part.end)
    },
  })
  const boxes = createBoxes((value) => {
    const { node: origin, widget } = sourceOf(node, 'boxes')
    if (origin && widget) writeWidget(origin, widget, value)
  })
  root.append(panel.root, boxes.root)
  const listen = createListener(refresh, gone)
  const asker = createAsker(refresh)

  /** @param {string} value */
  function write(value) {
    const source = sourceOf(node, 'text')
    if (!source.node || source.widget?.value !== text) return false
    writeWidget(source.node, source.widget, value)
    return true
  }

  /** @param {(inputs: import('./people_edit.js').Inputs, pieces: string[], negatives: string[]) => object} change */
  function edit(change) {
    const names = /** @type {const} */ (['text', 'negative', 'order', 'boxes'])
    const sources = names.map((name) => sourceOf(node, name))
    const [whole, negative, order, drawn] = sources.map(({ widget }) => String(widget?.value ?? ''))
    // Of a newer text nobody knows yet where its parts are.
    if (!known || whole !== text) return
    const boxes = readRows(drawn)
    const pieces = piecesOf(whole, known.parts)
    const people = peopleOf(known)
    const after = /** @type {any} */ (
      change({ text: whole, negative, order, boxes, people }, pieces, piecesOf(negative, known.negative_parts))
    )
    after.boxes = after.boxes.length ? JSON.stringify(after.boxes) : ''
    asOneStep(() =>
      sources.forEach(({ node: origin, widget }, index) => {
        if (origin && widget) writeWidget(origin, widget, after[names[index]])
      }))
  }

  function refresh() {
    const source = sourceOf(node, 'text')
    const box = widgetOf(node, 'text')
    // On the canvas, text boxes keep two lines when the rest grows; for several people that is too few.
    if (box) box.options.getMinHeight = constant(source.linked ? 50 : 110)
    listen([source.widget, ...[...READ, ...SHOWN].map((name) => widgetOf(node, name))])
    boxes.setPicture(picture(node), shape(node))
    panel.warn(linesOf(node))
    if (!source.widget) {
      asker.forget()
      boxes.setPeople(null, '')
      return panel.say(t('people.later', { title: titleOf(source) }))
    }
    const whole = String(source.widget.value)
    const sent = sentText(source.widget)
    const body = /** @type {any} */ ({ text: sent.text })
    for (const name of READ.slice(1)) {
      const { widget } = sourceOf(node, name)
      if (widget?.value) body[name] = sentText(widget).text
    }
    const placed = sourceOf(node, 'place_words').widget?.value === true
    const stand = placed ? places(node, body.boxes) : ''
    if (stand) body.places = stand
    const said = placed && !stand ? t('people.addedLater') : ''
    asker.ask(
      [whole, body, said, across(node, body.boxes)],
      // A LoRA's trigger words are asked for where there is one.
      () => Promise.all([readPrompt(body), sent.text.includes('<lora:') ? loraList() : null]),
      ([reading, list]) => {
        // A key has moved a weight since the question went out, and that is shown already.
        if (whole !== text && text === sourceOf(node, 'text').widget?.value) return false
        text = whole
        known = reading
        show = () => panel.show(reading, sent.drawn, across(node, body.boxes), said, wordsOf(list))
        show()
        // The boxes as they are by now, not as they were when the question went out.
        const drawn = sourceOf(node, 'boxes').widget
        boxes.setPeople(drawn && peopleOf(reading), String(drawn?.value ?? ''))
        return true
      },
      panel.say,
    )
  }
  return refresh
}

/** How many parts are a person's; those of several together have no number. */
/** @param {import('./types.js').Reading} reading */
const peopleOf = ({ parts }) => parts.filter((part) => part.number !== null).length

/**
 * Trigger words by file.
 * @param {import('./types.js').LoraList | null} list
 * @returns {Map<string, string[]>}
 */
const wordsOf = (list) => new Map((list?.loras ?? []).map(({ file, triggers }) => [file, triggers]))

/**
 * Moves what stands behind the end of a tag that grows.
 * @param {import('./types.js').Reading} reading
 * @param {{ end: number }} tag
 * @param {number} by
 */
function moveRanges({ parts }, { end }, by) {
  for (const range of parts.flatMap((part) => [part, ...part.loras, ...(part.reference ? [part.reference] : [])])) {
    if (range.start >= end) range.start += by
    if (range.end >= end) range.end += by
  }
}

/** Holds nothing but the number: the editor keeps the widgets of nodes that are gone. */
/** @param {number} value */
const constant = (value) => () => value

/**
 * Boxes and poses stand side by side; of masks that are linked nothing can be told here.
 * @param {ComfyNode} node
 * @param {string | undefined} boxes
 * @returns {import('./people_panel.js').Across}
 */
function across(node, boxes) {
  if (boxes) return 'columns'
  if (originOf(node, 'regions') !== undefined) return 'unknown'
  if (originOf(node, 'pose') !== undefined) return 'columns'
  return widgetOf(node, 'layout')?.value === 'rows' ? 'rows' : 'columns'
}

/**
 * How people stand, where that is known before the graph runs; of a pose or masks it is not.
 * @param {ComfyNode} node
 * @param {string | undefined} boxes
 * @returns {'' | 'columns' | 'rows'}
 */
function places(node, boxes) {
  if (boxes) return 'columns'
  const linked = ['regions', 'pose', 'layout'].some((name) => originOf(node, name) !== undefined)
  return linked ? '' : widgetOf(node, 'layout')?.value
}

/**
 * The picture that boxes are drawn over: of what is linked to pose or regions, else the last that
 * any node of the graph showed.
 * @param {ComfyNode} node
 */
function picture(node) {
  const linked = [originOf(node, 'pose'), originOf(node, 'regions')]
  const others = [...(node.graph?.nodes ?? [])].reverse()
  for (const each of [...linked, ...others]) {
    const [first] = each ? picturesOf(each) : []
    if (first) return first
  }
  return ''
}

/** As many nodes are looked at for the picture's size. */
const FAR = 200

/**
 * The shape of the picture to be, `width / height`: by the latent of the sampler that this node leads
 * to, or else by the pose node's own size; empty where neither says.
 * @param {ComfyNode} node
 */
function shape(node) {
  const ahead = [node]
  for (const each of ahead) {
    const latent = each !== node && ['latent_image', 'samples'].map((name) => originOf(each, name)).find(Boolean)
    const known = latent && sizeOf(latent)
    if (known) return known
    const next = followers(each).filter((other) => !ahead.includes(other))
    if (ahead.length < FAR) ahead.push(...next)
  }
  const pose = originOf(node, 'pose')
  return (pose && sizeOf(pose)) || ''
}

/** @param {ComfyNode} node that a size is written on */
function sizeOf(node) {
  const [width, height] = ['width', 'height'].map((name) => Number(sourceOf(node, name).widget?.value))
  return width && height ? `${width} / ${height}` : ''
}

/**
 * The text box of `text`: the widget's own, or the one that the Vue renderer made for it.
 * @param {ComfyNode} node
 * @param {HTMLElement} root
 * @returns {HTMLTextAreaElement | null}
 */
function fieldOf(node, root) {
  const { widget, linked } = sourceOf(node, 'text')
  const element = widget?.element
  if (element?.isConnected) return /** @type {HTMLTextAreaElement} */ (element)
  return linked ? null : (root.closest('[data-node-id]')?.querySelector('textarea') ?? null)
}
