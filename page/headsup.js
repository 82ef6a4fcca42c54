/**
 * The pack's part of the page.
 *
 * Messages: what HeadsUp's nodes have to say stays on them until they run again: pictures that could not be restored, photos that
 * were not used, people who were not found. Nodes give it as `text` with their results (nodes/bridge/messages.py).
 * ComfyUI's own progress text is wiped when the job ends. Why a node failed stands on it until the next run: the page says that
 * only in a log behind a button.
 *
 * Inputs that few need are folded away in the classic page, too; right-click > Show Advanced. Load Model shows the options of the
 * chosen model alone, with that model's defaults. Sockets get colours.
 */
import { api } from "../../scripts/api.js"
import { app } from "../../scripts/app.js"
import { followSockets, labelSocket, readWords, tidySockets } from "./growing_sockets.js"

const PREFIX = "HeadsUp"
const LOADER = "HeadsUpLoadModel"
const OF_CHOICES = "headsup_options_of_choices"
const OF_MODELS = "headsup_option_of_models"
const WIDGET = "headsup_message"
const LINE = 17 // pixels
const MOST_LINES = 9 // more are scrolled to
const LETTERS = 7 // pixels, about
const MARGIN = 10 // pixels that the classic page leaves around a box
const SAYS = "border-left:4px solid #f5a623;background:#3a2c12;color:#ffe2b0;"
const FAILED = "border-left:4px solid #e5534b;background:#3d1618;color:#ffd7d5;"
const COLORS = {
  HEADSUP_MODEL: "#b39ddb",
  HEADSUP_FACES: "#ffb74d",
  HEADSUP_IDENTITIES: "#81c784",
  HEADSUP_FACE_ANALYZER: "#4fc3f7",
  HEADSUP_IDFSR_MODEL: "#f48fb1",
}

/** The node of an execution id ("5", or "5:4" inside a subgraph), behind the subgraphs that it is in. */
function nodesOf(id) {
  const found = []
  let graph = app.rootGraph ?? app.graph
  for (const part of String(id).split(":")) {
    const node = graph?.getNodeById(Number(part))
    if (!node) return []
    found.push(node)
    graph = node.subgraph
  }
  return found
}

function isOurs(node) {
  return String(node?.comfyClass ?? node?.type ?? "").startsWith(PREFIX)
}

/** Show `text` on a node in place of what it said before; nothing where it is empty. */
function show(node, text, colors = SAYS) {
  if (text && node.headsupMessage?.text === text) return
  clear(node)
  if (!text || !node.addDOMWidget) return
  const box = document.createElement("div")
  box.className = "headsup-message"
  box.setAttribute("role", "status")
  box.textContent = text
  box.style.cssText =
    `box-sizing:border-box;width:100%;max-height:${MOST_LINES * LINE + 12}px;overflow:auto;white-space:pre-wrap;user-select:text;` +
    `padding:4px 8px;border-radius:4px;${colors}font:12px/${LINE}px sans-serif`
  const width = Math.max(10, Math.floor((node.size[0] - 50) / LETTERS))
  const lines = text.split("\n").reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / width)), 0)
  const height = Math.min(lines, MOST_LINES) * LINE + 12
  const widget = withoutSpareHeight(node, height + 2 * MARGIN, () =>
    node.addDOMWidget(WIDGET, "headsup_message", box, { serialize: false, hideOnZoom: false, getValue: () => text }),
  )
  widget.serialize = false
  const before = node.size[1]
  node.setSize([node.size[0], Math.max(before, node.computeSize()[1])])
  node.headsupMessage = { text, widget, before, after: node.size[1] }
  node.setDirtyCanvas?.(true, true)
}

/** Let what `add` adds to a node be `height` tall. The page shares a node's spare height among what has a layout's size. */
function withoutSpareHeight(node, height, add) {
  const addCustomWidget = node.addCustomWidget
  node.addCustomWidget = function (widget) {
    widget.computeLayoutSize = undefined
    widget.computeSize = () => [0, height - 4] // the page adds 4
    return addCustomWidget.call(this, widget)
  }
  try {
    return add()
  } finally {
    node.addCustomWidget = addCustomWidget
  }
}

function clear(node) {
  const shown = node.headsupMessage
  if (!shown) return
  delete node.headsupMessage
  const index = node.widgets?.indexOf(shown.widget) ?? -1
  if (index >= 0) {
    shown.widget.onRemove?.()
    node.widgets.splice(index, 1)
  }
  const height = node.size[1] === shown.after ? shown.before : node.size[1] // as the user left it
  node.setSize([node.size[0], Math.max(height, node.computeSize()[1])])
  node.setDirtyCanvas?.(true, true)
}

/** Say what the node of an execution id says on it and on the subgraphs that it is in. */
function say(id, output) {
  const nodes = nodesOf(id)
  if (!isOurs(nodes.at(-1))) return
  const text = (output?.text ?? []).join("\n")
  for (const node of nodes) show(node, text)
}

/** The nodes on which stands why they failed. */
let failed = []

/** Say on a node, and on the subgraphs that it is in, why it failed. */
function fail(id, message) {
  const nodes = nodesOf(id)
  if (!isOurs(nodes.at(-1)) || !message) return
  failed = nodes
  for (const node of nodes) show(node, message.trim(), FAILED)
}

function forgetFailure() {
  for (const node of failed.splice(0)) clear(node)
}

/** Colours of our sockets and wires. A palette that the page loads takes them away again, so they are set with each node. */
function colorSockets() {
  for (const [type, color] of Object.entries(COLORS)) {
    if (app.canvas) app.canvas.default_connection_color_byType[type] ||= color
    const types = window.LGraphCanvas?.link_type_colors
    if (types) types[type] ||= color
  }
  if (document.getElementById("headsup-colors")) return
  const rules = Object.entries(COLORS).map(([type, color]) => `--color-datatype-${type}: ${color};`)
  const style = document.createElement("style")
  style.id = "headsup-colors"
  style.textContent = `:root { ${rules.join(" ")} }`
  document.head.append(style)
}

/** Fold advanced widgets away as Nodes 2.0 does; the classic page knows how, but not which. */
function foldAdvanced(node) {
  const advanced = node.widgets?.filter((widget) => widget.options?.advanced) ?? []
  if (!advanced.length || !node.isWidgetVisible) return
  for (const widget of advanced.flatMap((one) => [one, ...(one.linkedWidgets ?? [])])) widget.advanced = true
  // else the room of folded widgets stays empty
  node.getLayoutWidgets = () => node.widgets?.filter((widget) => node.isWidgetVisible(widget)) ?? []
  node.setSize([node.size[0], node.computeSize()[1]])
}

/** Load Model: input -> choice -> option -> its default there, and option -> what stands for that (nodes/models/model_options.py). */
let optionsOfChoices = {}
let unset = {}
let least = {}

function readOptions(definition) {
  const inputs = Object.entries({ ...definition.input?.required, ...definition.input?.optional })
  const marked = (mark) => inputs.filter(([, spec]) => spec[1]?.[mark])
  optionsOfChoices = Object.fromEntries(marked(OF_CHOICES).map(([name, spec]) => [name, spec[1][OF_CHOICES]]))
  unset = Object.fromEntries(marked(OF_MODELS).map(([name, spec]) => [name, spec[1].default]))
  least = Object.fromEntries(marked(OF_MODELS).map(([name, spec]) => [name, spec[1][OF_MODELS].minimum]))
}

/** The options of what is chosen, with their defaults; undefined where that is not known. */
function optionsOf(node) {
  const value = (name) => node.widgets.find((widget) => widget.name === name)?.value
  const decides = value("adapter") === "none" ? "model" : value("system") === "auto" ? "adapter" : "system"
  return optionsOfChoices[decides]?.[value(decides)]
}

/** Hide the options of other models than the chosen one. What they were turned to comes back with them. */
function showOptionsOfModel(node) {
  const has = optionsOf(node)
  const kept = (node.headsupKept ??= {})
  const own = (node.headsupOwn ??= {}) // defaults of the model that was chosen before
  for (const widget of node.widgets.filter((one) => one.name in unset)) {
    const name = widget.name
    const linked = node.inputs?.some((input, slot) => input.widget?.name === name && node.isInputConnected(slot))
    widget.hidden = has !== undefined && !(name in has) && !linked
    if (widget.options) widget.options.hidden = widget.hidden
    const before = own[name] ?? has?.[name] // a workflow that was just opened shows the chosen model's
    if (widget.value !== unset[name] && widget.value !== before) kept[name] = widget.value
    else if (own[name] !== undefined) delete kept[name] // it was seen, and turned back
    if (widget.hidden) delete own[name]
    else own[name] = has?.[name] ?? unset[name]
    // a model refuses what it does not have
    const value = widget.hidden ? unset[name] : (kept[name] ?? own[name])
    if (widget.value !== value) widget.value = value
    // nobody would know what a number below the range stands for
    if (own[name] !== unset[name] && typeof least[name] === "number") widget.options.min = least[name]
  }
  node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1])])
  node.setDirtyCanvas?.(true, true)
}

function followModel(node) {
  for (const name of ["model", "adapter", "system", ...Object.keys(unset)]) {
    const widget = node.widgets?.find((one) => one.name === name)
    if (!widget) return
    const callback = widget.callback
    widget.callback = function (...values) {
      const result = callback?.apply(this, values)
      showOptionsOfModel(node)
      return result
    }
  }
  showOptionsOfModel(node)
}

/** The loaders of a graph and of the subgraphs in it. */
function loadersIn(graph) {
  return (graph?.nodes ?? []).flatMap((node) => (node.subgraph ? loadersIn(node.subgraph) : node.comfyClass === LOADER ? [node] : []))
}

/** An older ComfyUI has no Compare Images: our templates, which show both pictures beside it, do without. */
function withoutCompare(workflow) {
  if (!workflow?.extra?.headsup || window.LiteGraph.registered_node_types.ImageCompare) return
  const compares = workflow.nodes.filter((node) => node.type === "ImageCompare")
  const holds = ([left, top, width, height], [x, y]) => left < x && x < left + width && top < y && y < top + height
  workflow.groups = workflow.groups?.filter((group) => !compares.some((node) => holds(group.bounding, node.pos)))
  const gone = new Set(compares.map((node) => node.id))
  const links = new Set(workflow.links.filter((link) => gone.has(link[3])).map((link) => link[0]))
  workflow.nodes = workflow.nodes.filter((node) => !gone.has(node.id))
  workflow.links = workflow.links.filter((link) => !links.has(link[0]))
  for (const output of workflow.nodes.flatMap((node) => node.outputs ?? [])) {
    output.links = output.links?.filter((link) => !links.has(link)) ?? null
  }
  const { reroutes, linkExtensions } = workflow.extra
  for (const point of reroutes ?? []) point.linkIds = point.linkIds.filter((link) => !links.has(link))
  workflow.extra.reroutes = reroutes?.filter((point) => point.linkIds.length)
  workflow.extra.linkExtensions = linkExtensions?.filter((end) => !links.has(end.id))
}

const extension = {
  name: "HeadsUp",
  init: readWords,
  beforeRegisterNodeDef(_type, definition) {
    if (definition.name === LOADER) readOptions(definition)
  },
  /** After R: files may have come. */
  refreshComboInNodes(definitions) {
    if (!definitions?.[LOADER]) return
    readOptions(definitions[LOADER])
    for (const node of loadersIn(app.rootGraph ?? app.graph)) showOptionsOfModel(node)
  },
  loadedGraphNode(node) {
    if (node.comfyClass === LOADER) {
      node.headsupKept = node.headsupOwn = undefined // of the model that stood there while the node was made
      showOptionsOfModel(node)
    }
    if (!isOurs(node)) return
    tidySockets(node)
    for (const input of node.inputs ?? []) labelSocket(node, input)
  },
  beforeConfigureGraph(workflow) {
    withoutCompare(workflow)
  },
  nodeCreated(node) {
    if (!isOurs(node)) return
    colorSockets()
    if (node.comfyClass === LOADER) followModel(node)
    foldAdvanced(node)
    followSockets(node)
  },
  setup() {
    colorSockets()
    // "executing" comes for nodes that run, not for those whose result comes from the cache: what they said still holds
    api.addEventListener("executing", ({ detail }) => {
      if (detail !== null && detail !== undefined) say(detail.node ?? detail, null)
    })
    api.addEventListener("execution_start", forgetFailure)
    api.addEventListener("execution_error", ({ detail }) => fail(detail.node_id, detail.exception_message))
    api.addEventListener("executed", ({ detail }) => say(detail.display_node ?? detail.node, detail.output))
  },
  /** Newer pages give the outputs again when a workflow is opened anew. */
  onNodeOutputsUpdated(outputs) {
    for (const [id, output] of Object.entries(outputs ?? {})) say(id, output)
  },
}

// two copies of the pack may be there
if (!window.headsupRegistered) {
  window.headsupRegistered = true
  app.registerExtension(extension)
}
