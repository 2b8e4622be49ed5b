/** A button on Load Image where a template of ours names a sample picture that is not there yet. */

import { ownFile, toast, uploadPicture, widgetOf, writeWidget } from './api.js'
import { t } from './texts.js'

/** @typedef {import('./types.js').ComfyNode} ComfyNode */

/** The name in the template, and the file in web/samples. */
/** @type {Record<string, string>} */
const SAMPLES = { 'astronaut.png': 'astronaut.jpg', 'two_people.png': 'two_people.png' }

/** @type {WeakSet<ComfyNode>} */
const offered = new WeakSet()

/** @param {ComfyNode} node */
export function offerSample(node) {
  const widget = node.comfyClass === 'LoadImage' ? widgetOf(node, 'image') : undefined
  const file = SAMPLES[widget?.value]
  if (!widget || !file || offered.has(node)) return
  const there = /** @type {string[]} */ (widget.options.values)
  if (there.includes(widget.value)) return
  offered.add(node)

  const button = node.addWidget('button', t('samples.load'), null, async () => {
    try {
      const name = await uploadPicture(file, await ownFile(`samples/${file}`))
      if (!there.includes(name)) there.push(name)
      writeWidget(node, widget, name)
      node.removeWidget(button)
    } catch (error) {
      toast('error', t('samples.failed'), String(error))
    }
  })
  // Neither saved nor sent.
  button.serialize = false
  button.options.serialize = false
}
