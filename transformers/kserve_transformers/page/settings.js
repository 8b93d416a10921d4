// What the server writes into the page about itself: the services that it hosts, and the options of a request.

export const settings = JSON.parse(document.querySelector("meta[name=modelport]").content);
