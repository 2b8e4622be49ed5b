/** The colours of people, those of the region preview (ensemble/pose/preview.py). */

export const TINTS = ['#d64c4c', '#4ca85c', '#5278e0', '#d6a83c', '#a854c8', '#40b0b8']

/** @param {number} number a person's, from 1 */
export const tint = (number) => TINTS[(number - 1) % TINTS.length]
