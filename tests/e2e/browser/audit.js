// What a checker of accessibility would find: contrast, names, labels, order. Gives a list of sentences.
(() => {
  const found = [];
  const channel = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const parse = (text) => (text.match(/[\d.]+/g) || []).map(Number);
  const luminance = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
  const background = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0] : [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility() || element.closest("script")) continue;
    const inks = [luminance(parse(getComputedStyle(element).color)), luminance(background(element))].sort((a, b) => b - a);
    const ratio = (inks[0] + 0.05) / (inks[1] + 0.05);
    if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(2)}: ${walker.currentNode.textContent.trim().slice(0, 40)}`);
  }
  for (const each of document.querySelectorAll("button, a[href], input, [role=img]")) {
    const named = each.getAttribute("aria-label") || each.textContent.trim() || (each.labels && each.labels.length);
    if (!named) found.push(`no name: ${each.outerHTML.slice(0, 80)}`);
  }
  for (const each of document.querySelectorAll("svg")) {
    if (!each.getAttribute("aria-label") && each.getAttribute("aria-hidden") !== "true") found.push("a picture without words");
  }
  for (const each of document.querySelectorAll("[aria-labelledby]")) {
    if (!document.getElementById(each.getAttribute("aria-labelledby"))) found.push(`label is missing: ${each.id}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
  found.push(...ids.filter((id, index) => ids.indexOf(id) !== index).map((id) => `two of id ${id}`));
  if (!document.documentElement.lang) found.push("no language");
  if (!document.title) found.push("no title");
  if (document.querySelectorAll("h1").length !== 1) found.push(`${document.querySelectorAll("h1").length} h1`);
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) found.push("it scrolls sideways");
  return found;
})()
