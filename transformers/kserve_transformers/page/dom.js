// Elements, made in one expression.

// Properties are set as such where the element has them, as attributes otherwise; on... are listeners.
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export function fill(root, templateId) {
  root.append(document.getElementById(templateId).content.cloneNode(true));
}

export function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

export function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

// A bar with its name and value; `share` is 0..1.
export function bar(name, share, note = "") {
  const filled = element("span", { className: "filled" });
  filled.style.width = `${100 * share}%`;
  return element(
    "li",
    { className: "bar" },
    element("span", { className: "name", textContent: name }),
    element("span", { className: "value", textContent: percent(share) }),
    element("span", { className: "track", "aria-hidden": "true" }, filled),
    ...(note ? [element("span", { className: "note", textContent: note })] : []),
  );
}

export function debounce(milliseconds, action) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };
}
