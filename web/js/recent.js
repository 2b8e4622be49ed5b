/** Names of LoRAs that were chosen last, kept among the user's settings. */

import { loadSetting, storeSetting } from './api.js'

const SETTING = 'Ensemble.RecentLoras'
const MOST = 20

/** @type {string[]} the latest first */
let names = []

export async function loadRecent() {
  const kept = await loadSetting(SETTING).catch(() => null)
  if (Array.isArray(kept)) names = kept.filter((name) => typeof name === 'string')
}

export const recentNames = () => names

/** @param {string} name that was chosen */
export function remember(name) {
  names = [name, ...names.filter((each) => each !== name)].slice(0, MOST)
  storeSetting(SETTING, names)
}
