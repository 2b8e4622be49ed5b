/** LoRAs that fit what is typed, best first. */

/** @typedef {import('./types.js').Lora} Lora */
/**
 * @typedef {{ name: string, file: string, base: string, triggers: string, damaged: string,
 *   preview: string }} Choice
 */

const MOST = 50

/**
 * @param {import('./types.js').LoraList} list
 * @param {string} typed
 * @param {string[]} recent names, the latest first: they come first while nothing is typed
 * @returns {Choice[]}
 */
export function choose(list, typed, recent = []) {
  const wanted = typed.trim().toLowerCase()
  const age = new Map(recent.map((name, index) => [name, index]))
  const ageOf = (/** @type {Choice} */ { name }) => (wanted ? 0 : (age.get(name) ?? recent.length))
  /** @type {[number, Choice][]} */
  const scored = []
  for (const choice of choicesOf(list)) {
    const score = fit(choice, wanted)
    if (score > 0) scored.push([score, choice])
  }
  scored.sort((a, b) => b[0] - a[0] || ageOf(a[1]) - ageOf(b[1]) || (a[1].name < b[1].name ? -1 : 1))
  return scored.slice(0, MOST).map(([, choice]) => choice)
}

/** @type {WeakMap<object, Choice[]>} */
const prepared = new WeakMap()

/** @param {import('./types.js').LoraList} list */
function choicesOf(list) {
  let choices = prepared.get(list)
  if (!choices) {
    choices = list.loras.map((lora) => ({
      name: lora.name,
      file: lora.file,
      base: lora.base_model,
      triggers: lora.triggers.join(', '),
      damaged: lora.damaged,
      preview: lora.preview,
    }))
    for (const [id, file] of Object.entries(list.aliases)) {
      choices.push({ name: id, file, base: `→ ${file}`, triggers: '', damaged: '', preview: '' })
    }
    prepared.set(list, choices)
  }
  return choices
}

/**
 * 0: does not fit. Files that cannot be read come last. Names count above trigger words, beginnings above middles.
 * @param {Choice} choice
 * @param {string} wanted
 */
function fit(choice, wanted) {
  if (choice.damaged) return choice.name.toLowerCase().includes(wanted) ? 0.5 : 0
  if (!wanted) return 1
  const name = choice.name.toLowerCase()
  if (name === wanted) return 6
  const at = name.indexOf(wanted)
  if (at === 0) return 5
  if (at > 0) return /[\W_]/.test(name[at - 1]) ? 4 : 3
  if (choice.file.toLowerCase().includes(wanted)) return 2
  return choice.triggers.toLowerCase().includes(wanted) ? 1 : 0
}
