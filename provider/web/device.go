package web

import (
	"strings"
)

// Device names what a User-Agent header stands for, in words of every language by which a person
// recognises their own devices: "Firefox (Windows)"; "" when it is nothing known. The header says
// whatever its sender likes, so nothing is decided by it.
func Device(userAgent string) string {
	browser, system := "", ""
	// The order matters: most browsers also name those that they want to be taken for.
	for _, b := range [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Opera", "Opera"}, {"Vivaldi", "Vivaldi"},
		{"SamsungBrowser", "Samsung Internet"}, {"YaBrowser", "Yandex Browser"},
		{"Firefox/", "Firefox"}, {"FxiOS", "Firefox"}, {"CriOS", "Chrome"}, {"Chrome/", "Chrome"},
		{"Chromium", "Chromium"},
		{"Safari/", "Safari"}, {"Trident/", "Internet Explorer"}, {"curl/", "curl"}, {"HtmlUnit", "HtmlUnit"},
	} {
		if strings.Contains(userAgent, b[0]) {
			browser = b[1]
			break
		}
	}
	for _, s := range [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"},
		{"Macintosh", "macOS"}, {"Mac OS X", "macOS"}, {"OpenBSD", "OpenBSD"}, {"FreeBSD", "FreeBSD"},
		{"Linux", "Linux"}, {"X11", "Linux"},
	} {
		if strings.Contains(userAgent, s[0]) {
			system = s[1]
			break
		}
	}
	if browser != "" && system != "" {
		return browser + " (" + system + ")"
	}
	return browser + system
}
