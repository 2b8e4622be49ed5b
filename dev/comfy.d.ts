/** The few parts of ComfyUI's editor that web/js/api.js uses; its own package ships no types. */

export const api: {
  fetchApi(path: string, options?: RequestInit): Promise<Response>
  apiURL(path: string): string
  internalURL(path: string): string
  getSetting(id: string): Promise<any>
  storeSetting(id: string, value: any): Promise<any>
  addEventListener(name: 'graphChanged' | 'executed', listener: (event: any) => void): void
}

export const app: {
  registerExtension(extension: object): void
  loadGraphData(workflow: object, clean?: boolean, view?: boolean, name?: string): Promise<void>
  handleFile(file: File): Promise<void>
  refreshComboInNodes(): Promise<void>
  graph: { nodes: any[] }
  canvas: any
  canvasContainer: HTMLElement
  nodeOutputs?: Record<string, any>
  extensionManager: {
    registerSidebarTab(tab: object): void
    setting: { get(id: string): any }
    command: { execute(id: string): unknown }
    toast: { add(message: object): void }
  }
}
