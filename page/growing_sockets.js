/** Sockets of inputs that grow ("photos.photo_1" ...): their names in the page's language, and their order. */
import { api } from "../../scripts/api.js"
import { app } from "../../scripts/app.js"

const INPUT = 1 // LiteGraph's side of a socket

/** Words of the packs by language (locales/), of which the page leaves out the sockets that grow. */
let words = {}

export async function readWords() {
  words = await api.fetchApi("/i18n").then((answer) => answer.json()).catch(() => ({}))
}

/** What a socket that grows, "person_2.person_2_photo_1", is called in a language: its input's name, "photo" and its number. */
function socketLabel(type, name, language) {
  const [group, socket] = name.split(".")
  const names = words[language]?.nodeDefs?.[type]?.inputs
  if (!names?.[group]?.name) return socket
  const parts = [names[group].name, group === "photos" ? "" : names.photos?.name, socket.match(/\d+$/)?.[0]]
  return parts.filter(Boolean).join(" ")
}

/** Name a socket that grows in the page's language, unless it was renamed. */
export function labelSocket(node, input) {
  if (!input?.name?.includes(".")) return
  const label = (language) => socketLabel(node.comfyClass ?? node.type, input.name, language)
  const ours = ["en", ...Object.keys(words)].map(label)
  if (input.label && !ours.includes(input.label)) return
  input.label = label(app.extensionManager?.setting?.get?.("Comfy.Locale") ?? "en")
}

/** Name each new socket of a node, and order them when its graph was read. */
export function followSockets(node) {
  const added = node.onInputAdded
  node.onInputAdded = function (input) {
    added?.apply(this, arguments)
    labelSocket(this, input)
  }
  for (const input of node.inputs ?? []) labelSocket(node, input)
  const configured = node.onAfterGraphConfigured
  node.onAfterGraphConfigured = function () {
    configured?.apply(this, arguments)
    orderSockets(this)
  }
}

/** The names of a node's inputs that grow, and the sockets of one of them by number: "photos" has "photos.photo_1" ... */
function growingInputs(node) {
  return new Set(node.inputs?.filter((input) => input.name.includes(".")).map((input) => input.name.split(".")[0]))
}

function socketsOf(node, group) {
  const number = (input) => Number(input.name.match(/\d+$/)?.[0])
  return node.inputs.filter((input) => input.name.startsWith(`${group}.`)).sort((one, other) => number(one) - number(other))
}

/**
 * Put the sockets of inputs that grow one below the other. Pages from 1.58 on append saved ones below the widgets, and confuse those of
 * several inputs when they take up their wires. While a graph is read, a socket that is connected places the next one.
 */
function orderSockets(node) {
  for (const group of growingInputs(node)) {
    const sockets = socketsOf(node, group)
    const first = node.inputs.indexOf(sockets[0])
    if (sockets.every((input, index) => node.inputs[first + index] === input)) continue
    for (const { name } of sockets.slice(0, -1)) {
      const slot = node.inputs.findIndex((input) => input.name === name)
      node.onConnectionsChange?.(INPUT, slot, true, node.getInputLink?.(slot) ?? {}, node.inputs[slot])
    }
  }
}

/** Leave an input that grows one empty socket after its last photo: the same pages add more. */
export function tidySockets(node) {
  for (const group of growingInputs(node)) {
    const sockets = socketsOf(node, group)
    const last = sockets.findLastIndex((input) => node.isInputConnected(node.inputs.indexOf(input)))
    for (const input of sockets.slice(last + 2).reverse()) node.removeInput(node.inputs.indexOf(input))
  }
}
