/** Our own routes on ComfyUI's server. */

import { api, inputPicture } from './api.js'

const ROUTES = '/ensemble/v1'
/** A folder is asked about again after so long, in milliseconds. */
const FRESH = 5000

/** @type {Promise<Record<string, string>> | null} */
let features = null

/**
 * What tells our routes that the editor asks.
 * @returns {Promise<Record<string, string>>}
 */
async function proof() {
  features ??= api.fetchApi('/features').then((response) => response.json())
  try {
    const { ensemble_editor: word } = await features
    return word ? { 'X-Ensemble-Editor': word } : {}
  } catch {
    features = null
    return {}
  }
}

/**
 * Asks one of our routes. After a restart of ComfyUI its word is a new one, and is asked for once more.
 * @param {string} path
 * @param {object} [options]
 * @param {Record<string, string>} [headers]
 * @returns {Promise<Response>}
 */
async function ask(path, options = {}, headers = {}) {
  const send = async () => api.fetchApi(ROUTES + path, { ...options, headers: { ...headers, ...(await proof()) } })
  const response = await send()
  if (response.status !== 401) return response
  features = null
  return send()
}

/** @param {string} path @param {object} body @returns {Promise<{ status: number, answer: any }>} */
async function post(path, body) {
  const options = { method: 'POST', body: JSON.stringify(body) }
  const response = await ask(path, options, { 'Content-Type': 'application/json' })
  return { status: response.status, answer: await response.json() }
}

/** @param {string} path @param {object} body */
async function postOrThrow(path, body) {
  const { status, answer } = await post(path, body)
  if (status !== 200) throw new Error(answer.error ?? `HTTP ${status}`)
  return answer
}

/**
 * How a prompt is read.
 * @param {{ text: string, negative?: string, weights?: string, order?: string, boxes?: string,
 *   places?: string }} body
 * @returns {Promise<import('./types.js').Reading>}
 */
export const readPrompt = (body) => postOrThrow('/prompt/read', body)

/**
 * How MultiLoraLoader's strings are read.
 * @param {{ loras: string, strengths: string, prompt: string }} body
 * @returns {Promise<import('./types.js').StackReading>}
 */
export const readStack = (body) => postOrThrow('/loras/read', body)

/**
 * Everybody of a cast, and who is named in a text.
 * @param {{ text: string, negative?: string, cast?: string }} body
 * @returns {Promise<import('./types.js').CastReading>}
 */
export const readCast = (body) => postOrThrow('/cast/read', body)

/** @param {object} body */
export const compileRecipe = (body) => post('/recipes/compile', body)

/** @type {Map<string, { time: number, list: Promise<any> }>} */
const known = new Map()

/**
 * The answer to a question, asked again when the last one is some seconds old.
 * @template T
 * @param {string} path
 * @param {(answer: any) => T} read
 * @returns {Promise<T>}
 */
function fresh(path, read) {
  const last = known.get(path)
  if (last && performance.now() - last.time <= FRESH) return last.list
  const list = ask(path)
    .then((response) => (response.ok ? response.json() : Promise.reject(new Error(`HTTP ${response.status}`))))
    .then(read)
  known.set(path, { time: performance.now(), list })
  list.catch(() => known.delete(path))
  return list
}

/**
 * Every LoRA of this ComfyUI.
 * @returns {Promise<import('./types.js').LoraList>}
 */
export const loraList = () => fresh('/loras', withAddresses)

/**
 * Every picture that `<ref:NAME>` can mean, as LoRAs are listed.
 * @returns {Promise<import('./types.js').LoraList>}
 */
export const referenceList = () => fresh('/references', asList)

/** @type {Map<string, Promise<Record<string, import('./types.js').Body[]>>>} */
const posesBySize = new Map()

/**
 * Poses to begin with, by name, in the middle of a map of that size; asked for once.
 * @param {number} width
 * @param {number} height
 * @returns {Promise<Record<string, import('./types.js').Body[]>>}
 */
export function readyPoses(width, height) {
  const asked = `width=${width}&height=${height}`
  const poses = posesBySize.get(asked) ?? ask(`/poses?${asked}`)
    .then((response) => (response.ok ? response.json() : Promise.reject(new Error(`HTTP ${response.status}`))))
    .then((answer) => answer.poses)
  posesBySize.set(asked, poses)
  poses.catch(() => posesBySize.delete(asked))
  return poses
}

/** @param {{ references: { file: string, name: string }[], aliases: Record<string, string>, problem: string }} told */
function asList({ references, aliases, problem }) {
  const plain = { base_model: '', triggers: [], title: '', damaged: '' }
  return { loras: references.map((each) => ({ ...plain, ...each, preview: inputPicture(each.file) })), aliases, problem }
}

/** @param {import('./types.js').LoraList} list */
function withAddresses(list) {
  for (const lora of list.loras) lora.preview = lora.preview && api.apiURL(lora.preview)
  return list
}
