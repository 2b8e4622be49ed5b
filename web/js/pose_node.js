/** PoseControlInput in the editor: the bodies it showed last, and what was moved of them. */

import { jointsOf, picturesOf, widgetOf, writeWidget } from './api.js'
import { createJoints } from './joints.js'
import { createListener, titleOf } from './panel.js'
import { readyPoses } from './routes.js'
import { sourceOf } from './source.js'
import { t } from './texts.js'

/** @typedef {import('./types.js').ComfyNode} ComfyNode */

/** @type {import('./panel.js').Panel} */
export const JOINTS_PANEL = { name: 'ensemble_joints', title: () => t('joints.title'), lowest: 30, attach }

/** @type {import('./panel.js').Panel['attach']} */
function attach(node, root, gone) {
  const joints = createJoints((value) => {
    const { node: origin, widget } = sourceOf(node, 'joints')
    if (origin && widget) writeWidget(origin, widget, value)
  }, () => readyPoses(...sizeOf(node)))
  root.append(joints.root)
  const listen = createListener(refresh, gone)

  function refresh() {
    const source = sourceOf(node, 'joints')
    listen([source.widget, ...['joints', 'width', 'height'].map((name) => widgetOf(node, name))])
    joints.setPicture(picturesOf(node)[0] ?? '', sizeOf(node).join(' / '))
    if (source.widget) joints.show(String(source.widget.value ?? ''), jointsOf(node))
    else joints.say(t('joints.linked', { title: titleOf(source) }))
  }
  return refresh
}

/** Of the map, as far as the widgets say it; a square of 512 is what the node takes of itself. */
/** @param {ComfyNode} node @returns {[number, number]} */
function sizeOf(node) {
  const [width, height] = ['width', 'height'].map((name) => Number(sourceOf(node, name).widget?.value) || 0)
  return width && height ? [width, height] : [512, 512]
}
