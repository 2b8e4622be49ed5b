/** PoseControlInput in the editor: the bodies it showed last, and what was moved of them. */

import { addElement, jointsOf, onWidget, picturesOf, widgetOf, writeWidget } from './api.js'
import { el, keepKeys } from './dom.js'
import { createJoints } from './joints.js'
import { sourceOf } from './source.js'
import { t } from './texts.js'

/** @typedef {import('./types.js').ComfyNode} ComfyNode */

/**
 * Adds the panel to a new node.
 * @param {ComfyNode} node
 * @returns {() => void} shows everything again
 */
export function attachJoints(node) {
  const joints = createJoints((value) => {
    const { node: origin, widget } = sourceOf(node, 'joints')
    if (origin && widget) writeWidget(origin, widget, value)
  })
  const root = el('div', { class: 'ensemble', role: 'group', 'aria-label': t('joints.title') }, joints.root)
  keepKeys(root)
  addElement(node, 'ensemble_joints', root, () => 24 + Math.max(30, joints.root.offsetHeight))

  /** @type {WeakSet<object>} */
  const heard = new WeakSet()

  function refresh() {
    const source = sourceOf(node, 'joints')
    for (const widget of [source.widget, ...['joints', 'width', 'height'].map((name) => widgetOf(node, name))]) {
      if (widget && !heard.has(widget)) {
        heard.add(widget)
        onWidget(widget, refresh)
      }
    }
    const [width, height] = ['width', 'height'].map((name) => Number(sourceOf(node, name).widget?.value))
    joints.setPicture(picturesOf(node)[0] ?? '', width && height ? `${width} / ${height}` : '')
    if (source.widget) joints.show(String(source.widget.value ?? ''), jointsOf(node))
    else joints.say(t('joints.linked', { title: source.node?.title ?? t('people.subgraph') }))
  }
  return refresh
}
