/**
 * Shapes of what is passed around; nothing to run.
 *
 * @typedef {{ name: string, value: any, type?: string, element?: HTMLElement, serialize?: boolean,
 *   dynamicPrompts?: boolean,
 *   options?: any, callback?: (value: any, ...rest: any[]) => void }} Widget
 * @typedef {{ name: string, link: number | null, type?: string, widget?: { name: string } }} Socket
 *
 * @typedef {object} ComfyNode
 * @property {number | string} id
 * @property {string} comfyClass
 * @property {string} type
 * @property {string} title
 * @property {number} mode
 * @property {any} graph
 * @property {[number, number]} size
 * @property {Widget[]} [widgets]
 * @property {Socket[]} [inputs]
 * @property {{ links: (number | string)[] | null }[]} [outputs]
 * @property {Record<string, any>} properties
 * @property {HTMLImageElement[]} [imgs]
 * @property {(slot: number) => { origin_id: number | string, origin_slot: number } | null} getInputLink
 * @property {(name: string, type: string, element: HTMLElement, options: object) => Widget} addDOMWidget
 * @property {(type: string, name: string, value: any, callback: () => void) => Widget} addWidget
 * @property {(widget: Widget) => void} removeWidget
 * @property {(dirty: boolean, background?: boolean) => void} setDirtyCanvas
 * @property {(name: string, value: any, before: any, widget: Widget) => void} [onWidgetChanged]
 * @property {(...args: any[]) => any} [onAdded]
 * @property {(...args: any[]) => any} [onRemoved]
 * @property {(...args: any[]) => any} [onConfigure]
 * @property {(...args: any[]) => any} [onConnectionsChange]
 *
 * @typedef {'found' | 'missing' | 'ambiguous' | 'unknown'} Status
 * @typedef {{ name: string, status: Status, file: string, nearest: string[], message: string }} Match
 * @typedef {Match & { weight: number, clip_weight: number, start: number, end: number }} Tag
 * @typedef {Match & { start: number, end: number }} Reference
 * @typedef {{ role: 'base' | 'common' | 'person' | 'together', members?: number[], number: number | null, place: number | null,
 *   text: string, start: number, end: number, loras: Tag[], reference: Reference | null }} Part
 * @typedef {{ input: string, message: string, offset?: number, line?: number, column?: number,
 *   fix?: { at: number, insert: string } }} Problem
 * @typedef {{ negative_parts: Part[], has_break: boolean, parts: Part[], problems: Problem[], warnings: Problem[],
 *   added: string }} Reading
 * @typedef {Match & { strength: number, clip_strength: number }} Row
 * @typedef {{ rows: Row[], tags: Tag[], problems: Problem[], warnings: Problem[] }} StackReading
 *
 * @typedef {{ name: string, start: number, end: number, number: number | null }} Mention
 * @typedef {{ people: { name: string, text: string }[], named: Mention[], problems: Problem[] }} CastReading
 *
 * @typedef {{ file: string, name: string, base_model: string, triggers: string[], title: string,
 *   damaged: string, preview: string }} Lora
 * @typedef {{ loras: Lora[], aliases: Record<string, string>, problem: string }} LoraList
 *
 * @typedef {[number, number, number, number]} Box
 * @typedef {([number, number] | null)[]} Body 18 joints in parts of the picture; null is missing
 */

export {}
