// What the server says of itself in the page: what it hosts, and what a request may ask for.

export const settings = JSON.parse(document.querySelector("meta[name=modelport]").content);
